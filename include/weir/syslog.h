/** @file syslog.h
 *  Makes a program that calls syslog(3) emit records instead, unchanged: include this instead of <syslog.h>, or compile with
 *  `-include weir/syslog.h`. What the functions do then: bridge.h. Not part of weir.h. */
#ifndef WEIR_SYSLOG_H
#define WEIR_SYSLOG_H

#include <syslog.h>
#include <weir/bridge.h>

#define syslog weir_syslog
#define vsyslog weir_vsyslog
#define openlog weir_openlog
#define closelog weir_closelog
#define setlogmask weir_setlogmask

#endif
