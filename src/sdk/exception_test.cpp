/* exception_test.cpp - weir/exception.hpp from C++11, against the shared library. */
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <weir/exception.hpp>
#include <weir/weir.h>

namespace shop
{
struct out_of_stock : std::runtime_error {
    using std::runtime_error::runtime_error;
};
}

static int good;

static bool is(const weir_log_record *r, const char *key, const char *want)
{
    for (size_t i = 0; i < r->n_attributes; i++) {
        const weir_attr &a = r->attributes[i];
        if (a.key.size == strlen(key) && memcmp(a.key.data, key, a.key.size) == 0)
            return want && a.value.as.string.size == strlen(want) && memcmp(a.value.as.string.data, want, strlen(want)) == 0;
    }
    return !want;
}

static void on_emit(void *, weir_record *record)
{
    const weir_log_record *r = weir_record_get(record);
    good += is(r, "exception.type", "shop::out_of_stock") && is(r, "exception.message", "no monstera left") &&
            is(r, "exception.stacktrace", nullptr);
}

int main()
{
    weir_processor_ops ops;
    memset(&ops, 0, sizeof ops);
    ops.struct_size = sizeof ops;
    ops.on_emit = on_emit;
    weir_processor *processor = weir_processor_new(&ops, nullptr);
    weir_provider *provider = weir_provider_new(nullptr, &processor, 1, nullptr);
    weir_logger *lg = weir_provider_logger(provider, "shop", nullptr, nullptr, nullptr, 0);
    weir_log_record r = weir_log_record_init();
    try {
        throw shop::out_of_stock("no monstera left");
    } catch (const std::exception &e) {
        const weir_exception_text x = weir_exception_of(e);
        const weir_exception view = x.view();
        r.exception = &view;
        weir_logger_emit(lg, &r);
    }
    weir_provider_free(provider);
    std::puts(good == 1 ? "1..1\nok 1 - a std::exception becomes attributes" : "1..1\nnot ok 1 - a std::exception becomes attributes");
    return good != 1;
}
