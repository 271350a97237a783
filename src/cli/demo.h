/* demo.h - the plant shop of `weir demo`: what its processes tell each other, and what its services say about it. */
#pragma once
#include "base/def.h"
#include <weir/weir.h>

enum shop_service { SHOP_USER, SHOP_PLANT, SHOP_SIMULATION, SHOP_WEBSOCKET, SHOP_BUG, SHOP_SERVICES };
enum shop_event {
    SHOP_LOGIN,  /* somebody signs in, or fails to */
    SHOP_BROWSE, /* a list of plants */
    SHOP_WATER,  /* an order to water a plant: goes through four services */
    SHOP_TICK,   /* the simulation moves on by itself */
    SHOP_WATCH,  /* browsers come, go, and are told things */
    SHOP_IDLE,   /* the bug service has a look around */
    SHOP_BREAK,  /* the bug service breaks another one */
    SHOP_EVENTS
};

/* One thing that happens in the shop; every service concerned gets a copy through its pipe. */
struct shop_work {
    enum shop_event event;
    uint32_t number;  /* counts them */
    uint64_t dice;    /* random, the same for all services: who, which plant, how long */
    weir_trace_context trace;
};

const char *shop_service_name(enum shop_service s);
/* How many records service `s` logs about an event, on average at least; 0: it does not hear of it. */
unsigned shop_lines(enum shop_event event, enum shop_service s);
/* Logs what service `s` has to say about it. */
void shop_log(weir_logger *lg, enum shop_service s, const struct shop_work *w);
