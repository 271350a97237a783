/** @file bridge.h
 *  For code that logs in another way already: syslog(3), or lines written to a FILE.
 *  Any thread. C11 and C++11. */
#ifndef WEIR_BRIDGE_H
#define WEIR_BRIDGE_H

#include <stdarg.h>
#include <stdio.h>
#include <weir/logs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- syslog ---- */

/** syslog(3) as records: the same arguments, priorities, facilities, mask and %m, with the constants of <syslog.h>. An unchanged
 *  program gets them by `cc -include weir/syslog.h`. A record has
 *    severity     emerg FATAL, alert ERROR3, crit ERROR2, err ERROR, warning WARN, notice INFO2, info INFO, debug DEBUG
 *    scope name   `ident`, else the program's name; the global provider's logger of that name
 *    attributes   syslog.facility.code and .name; with LOG_PID syslog.procid
 *  A newline at the end of the message is cut. LOG_PERROR prints the message on stderr too; the other options concern a
 *  connection that is not there, and do nothing. errno stays as it is.
 *  The first message in a process without a global provider does what weir_start(NULL, NULL) does: call weir_start() first if
 *  that is not what you want. */
WEIR_API void weir_syslog(int priority, const char *format, ...) WEIR_PRINTF(2, 3);
WEIR_API void weir_vsyslog(int priority, const char *format, va_list arguments) WEIR_PRINTF(2, 0);
/** `ident` is copied (at most 255 bytes of it); NULL leaves the one before. Not needed before weir_syslog(). */
WEIR_API void weir_openlog(const char *ident, int option, int facility);
/** Back to the program's name. Delivers nothing: that is weir_stop()'s. */
WEIR_API void weir_closelog(void);
/** Which priorities are logged, as LOG_MASK() and LOG_UPTO() make it; 0 changes nothing. Returns the mask before. */
WEIR_API int weir_setlogmask(int mask);

/* ---- lines ---- */

/** A longer line becomes several records, each of at most so many bytes, cut between characters. */
#define WEIR_FILE_LINE_MAX 65536

/** A stream for writing: each line becomes a record of this severity, without its LF or CR LF. Empty lines are left out; the last
 *  line needs no LF and is emitted by fclose(), which must be called while the logger still lives. The stream is line
 *  buffered; what stands in it unfinished at a fork() is in both processes, as with every stdio stream. NULL: out of
 *  memory. `logger` NULL: the lines go nowhere. */
WEIR_API FILE *weir_file_new(weir_logger *logger, int severity_number, weir_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
