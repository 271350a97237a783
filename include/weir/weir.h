/** @file weir.h
 *  All of libweir: a logs SDK in the words of OpenTelemetry. Compile and link with `pkg-config --cflags --libs weir`. */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/bridge.h>
#include <weir/log.h>
#include <weir/logs.h>
#include <weir/sdk.h>
#include <weir/value.h>

#endif
