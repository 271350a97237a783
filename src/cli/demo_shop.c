/* demo_shop.c - what the services of the plant shop log: access log lines, logfmt, JSON, sentences with attributes, stack traces
 * over many lines, records of one request sharing a trace. Enough variety to try every kind of query on. */
#include "cli/demo.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>

static const char *const names[SHOP_SERVICES] = {"user_service", "plant_service", "simulation_service", "websocket_service",
                                                 "bug_service"};
static const char *const urls[] = {"http://user_service:5001", "http://plant_service:5002", "http://simulation_service:5003",
                                   "http://websocket_service:5004"};
static const char *const people[] = {"ann", "bela", "chen", "dara", "emil", "fatou", "goran", "hana"};
static const char *const plants[] = {"ficus", "monstera", "basil", "aloe", "orchid", "fern", "bonsai", "cactus"};

static const uint8_t lines[SHOP_EVENTS][SHOP_SERVICES] = {
    /*                user plant simulation websocket bug */
    [SHOP_LOGIN] = {2, 0, 0, 0, 0}, [SHOP_BROWSE] = {1, 2, 0, 0, 0}, [SHOP_WATER] = {1, 2, 2, 1, 0},
    [SHOP_TICK] = {0, 0, 2, 0, 0},  [SHOP_WATCH] = {0, 0, 0, 2, 0},  [SHOP_IDLE] = {0, 0, 0, 0, 1},
    [SHOP_BREAK] = {1, 1, 1, 1, 2},
};

const char *shop_service_name(enum shop_service s)
{
    return names[s];
}

unsigned shop_lines(enum shop_event event, enum shop_service s)
{
    return lines[event][s];
}

/* What an event is about, read off its dice: the same in every service. */
struct facts {
    const char *who, *plant;
    unsigned plant_no, ms, address, target; /* target: which service breaks */
};

static struct facts facts_of(const struct shop_work *w)
{
    uint64_t d = w->dice;
    return (struct facts){.who = people[d % ARRAY_LEN(people)],
                          .plant = plants[(d >> 8) % ARRAY_LEN(plants)],
                          .plant_no = (unsigned)(d >> 16) % 40,
                          .ms = 2 + (unsigned)(d >> 24) % 60 + ((d >> 32) % 20 == 0 ? 900 : 0),
                          .address = 2 + (unsigned)(d >> 40) % 250,
                          .target = (unsigned)(d >> 48) % ARRAY_LEN(urls)};
}

/* ---- user_service: an access log in plain text, and sentences with attributes ---- */

static void access_line(weir_logger *lg, const struct facts *f, const char *method, const char *path, int status)
{
    char line[200];
    snprintf(line, sizeof line, "10.0.3.%u - %s \"%s %s HTTP/1.1\" %d %u %u.%03u", f->address, f->who, method, path, status,
             300 + f->plant_no * 17, f->ms / 1000, f->ms % 1000);
    weir_log(lg, status >= 500 ? WEIR_SEVERITY_ERROR : WEIR_SEVERITY_INFO, line, weir_str("http.request.method", method),
             weir_i64("http.response.status_code", status));
}

static void user_login(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    bool refused = (w->dice >> 56) % 12 == 0;
    access_line(lg, f, "POST", "/api/login", refused ? 401 : 200);
    if (refused)
        weir_warn(lg, "login of {user.name} refused: wrong password, attempt {attempt}", weir_str("user.name", f->who),
                  weir_i64("attempt", 1 + f->plant_no % 3), weir_str("event.outcome", "failure"));
    else
        weir_info(lg, "user {user.name} logged in after {ms} ms", weir_str("user.name", f->who), weir_i64("ms", f->ms));
}

/* An exception of a Python web service, as such services log it: one record, many lines. */
static void user_exception(weir_logger *lg, const struct facts *f)
{
    char missing[40], trace[700], body[800];
    snprintf(missing, sizeof missing, "'%s-%u'", f->who, f->plant_no);
    snprintf(trace, sizeof trace,
             "Traceback (most recent call last):\n"
             "  File \"/app/user_service/views.py\", line 88, in get_user\n"
             "    return jsonify(repository.find(user_id))\n"
             "  File \"/app/user_service/repository.py\", line 41, in find\n"
             "    row = self.rows[user_id]\n"
             "KeyError: %s",
             missing);
    snprintf(body, sizeof body, "Unhandled exception in GET /api/users/%s-%u\n%s", f->who, f->plant_no, trace);
    weir_log(lg, WEIR_SEVERITY_ERROR, body, weir_str("exception.type", "KeyError"),
             weir_str("exception.message", missing), weir_str("exception.stacktrace", trace));
}

static void user_log(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    if (w->event == SHOP_LOGIN)
        user_login(lg, w, f);
    else if (w->event == SHOP_BROWSE)
        access_line(lg, f, "GET", "/api/plants", 200);
    else if (w->event == SHOP_WATER)
        access_line(lg, f, "POST", "/api/plants/water", 202);
    else if (w->event == SHOP_BREAK && f->target == SHOP_USER)
        user_exception(lg, f);
}

/* ---- plant_service: logfmt ---- */

static void plant_log(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    if (w->event == SHOP_BROWSE) {
        weir_debugf(lg, "level=debug msg=\"query\" table=plants where=\"owner='%s'\" rows=%u", f->who, f->plant_no);
        if (f->ms > 900)
            weir_warnf(lg, "level=warn msg=\"slow query\" table=plants user=%s duration=%ums limit=500ms", f->who, f->ms);
        else
            weir_infof(lg, "level=info msg=\"plants listed\" user=%s count=%u duration=%ums", f->who, f->plant_no, f->ms);
    } else if (w->event == SHOP_WATER) {
        weir_infof(lg, "level=info msg=\"order accepted\" order=%" PRIu32 " user=%s plant=%s-%u", w->number, f->who, f->plant,
                   f->plant_no);
        weir_infof(lg, "level=info msg=\"plant watered\" plant=%s-%u litres=0.%u stock=%u", f->plant, f->plant_no,
                   1 + f->ms % 9, 40 + f->address);
    } else if (w->event == SHOP_BREAK && f->target == SHOP_PLANT) {
        weir_errorf(lg, "level=error msg=\"cannot save plant\" plant=%s-%u err=\"deadlock detected\" code=40P01 retry=%u", f->plant,
                    f->plant_no, 1 + f->ms % 3);
    }
}

/* ---- simulation_service: JSON ---- */

static void simulation_log(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    if (w->event == SHOP_TICK) {
        weir_debugf(lg, "{\"event\":\"tick\",\"n\":%" PRIu32 ",\"plants\":%u,\"took_ms\":%u}", w->number, 120 + f->plant_no, f->ms);
        weir_infof(lg, "{\"event\":\"grown\",\"plant\":\"%s-%u\",\"moisture\":0.%02u,\"temperature\":%u.%u,\"growth_mm\":%u}", f->plant,
                   f->plant_no, 10 + f->address % 80, 15 + f->ms % 12, f->address % 10, f->ms % 7);
    } else if (w->event == SHOP_WATER) {
        weir_infof(lg, "{\"event\":\"watered\",\"plant\":\"%s-%u\",\"moisture\":0.%02u}", f->plant, f->plant_no, 70 + f->ms % 30);
        weir_log_record r = weir_log_record_init(); /* a body that is a map, not a text */
        weir_attr body[] = {weir_str("event", "forecast"), weir_str("plant", f->plant), weir_i64("days_until_dry", f->ms % 9),
                            weir_f64("confidence", 0.5 + f->address / 520.0)};
        r.timestamp_ns = (uint64_t)clock_wall_ns();
        r.severity_number = WEIR_SEVERITY_INFO;
        r.severity_text = weir_string_of("INFO");
        r.body = weir_value_map(body, ARRAY_LEN(body));
        r.event_name = weir_string_of("plant.forecast");
        weir_logger_emit(lg, &r);
    } else if (w->event == SHOP_BREAK && f->target == SHOP_SIMULATION) {
        weir_errorf(lg, "{\"event\":\"error\",\"plant\":\"%s-%u\",\"error\":\"moisture out of range\",\"moisture\":%u.5,\"status\":500}", f->plant,
                    f->plant_no, 1 + f->ms % 5);
    }
}

/* ---- websocket_service: short plain text ---- */

static void websocket_log(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    if (w->event == SHOP_WATCH) {
        weir_infof(lg, "client %u connected from 10.0.3.%u", w->number % 1000, f->address);
        if (f->ms > 900)
            weir_warnf(lg, "client %u is slow: %u messages wait", w->number % 1000, f->plant_no * 10);
        else
            weir_debugf(lg, "ping of client %u answered after %u ms", w->number % 1000, f->ms);
    } else if (w->event == SHOP_WATER) {
        weir_info(lg, "broadcast {topic} to {clients} clients", weir_str("topic", "plant.updated"), weir_i64("clients", 3 + f->plant_no),
                  weir_str("plant", f->plant));
    } else if (w->event == SHOP_BREAK && f->target == SHOP_WEBSOCKET) {
        weir_error(lg, "connection of client {client} lost: error 1006, abnormal closure", weir_i64("client", w->number % 1000));
    }
}

/* ---- bug_service ---- */

static void bug_log(weir_logger *lg, const struct shop_work *w, const struct facts *f)
{
    if (w->event == SHOP_IDLE) {
        weir_debug(lg, "looking for trouble, round {round}", weir_i64("round", w->number));
        return;
    }
    weir_warn(lg, "Bug triggered in {url}", weir_str("url", urls[f->target]), weir_str("target", names[f->target]));
    weir_error(lg, "{url} answered with error {http.response.status_code} after {ms} ms", weir_str("url", urls[f->target]),
               weir_i64("http.response.status_code", f->ms % 4 ? 500 : 503), weir_i64("ms", f->ms));
}

void shop_log(weir_logger *lg, enum shop_service s, const struct shop_work *w)
{
    static void (*const log_of[SHOP_SERVICES])(weir_logger *, const struct shop_work *, const struct facts *) = {
        user_log, plant_log, simulation_log, websocket_log, bug_log};
    struct facts f = facts_of(w);
    weir_trace_context here;
    weir_trace_context_child(&w->trace, &here);
    weir_trace_context_set_current(&here);
    log_of[s](lg, w, &f);
    weir_trace_context_set_current(NULL);
}
