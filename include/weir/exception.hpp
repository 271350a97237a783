/** @file exception.hpp
 *  C++ only, and not part of weir.h: a std::exception as the exception of a record.
 *
 *      catch (const std::exception &e) {
 *          weir_exception_text x = weir_exception_of(e);
 *          weir_exception view = x.view();
 *          weir_log_record r = weir_log_record_init();
 *          r.severity_number = WEIR_SEVERITY_ERROR;
 *          r.body = weir_value_str("order lost");
 *          r.exception = &view;
 *          weir_logger_emit(lg, &r);
 *      }
 *
 *  C++11. Needs the C++ library, which libweir itself does not: everything here is inline. */
#ifndef WEIR_EXCEPTION_HPP
#define WEIR_EXCEPTION_HPP

#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>
#include <weir/logs.h>
#if defined(__GNUC__)
#include <cxxabi.h>
#endif

/** Copies of what an exception says, so that they outlive it. */
struct weir_exception_text {
    std::string type, message, stacktrace;

    /** Valid as long as this is neither changed nor gone. */
    weir_exception view() const
    {
        weir_exception x;
        x.type.data = type.data();
        x.type.size = type.size();
        x.message.data = message.data();
        x.message.size = message.size();
        x.stacktrace.data = stacktrace.data();
        x.stacktrace.size = stacktrace.size();
        return x;
    }
};

/** The dynamic type's name, and what(). The stack of the throw is gone by the time of a catch: the field stays empty. */
inline weir_exception_text weir_exception_of(const std::exception &e)
{
    weir_exception_text x;
#if defined(__GXX_RTTI) || defined(__cpp_rtti)
    x.type = typeid(e).name();
#if defined(__GNUC__)
    int status = 0;
    char *readable = abi::__cxa_demangle(typeid(e).name(), nullptr, nullptr, &status);
    if (readable)
        x.type = readable;
    std::free(readable);
#endif
#else
    x.type = "std::exception"; /* without run-time type information nobody knows */
#endif
    x.message = e.what();
    return x;
}

#endif
