/* config_test.c - files that are good, and exactly what is said about those that are not. */
#include "collector/config.h"
#include "collector/debug_print.h"
#include "collector/expand.h"
#include "collector/sender.h"
#include "otlp/write.h"
#include "base/test.h"

static struct log_sink no_sink;
static const struct collector_sink sinks[] = {{"store", {0}}};

/* Parses; the problems (or "") in *text. */
static struct collector_config *parse(const char *yaml, struct buf *problems, struct buf *warnings)
{
    struct collector_config *cfg = NULL;
    struct err e = {0};
    bool ok = collector_config_parse(sv_of(yaml), "c.yaml", sinks, ARRAY_LEN(sinks), &cfg, problems, warnings, &e);
    CHECK_EQ(ok, problems->n == 0);
    CHECK_EQ(ok, e.code == ERR_NONE);
    (void)no_sink;
    return cfg;
}

#define GOOD_TAIL                                                                                                 \
    "receivers: {otlp: {protocols: {grpc: , http: }}}\n"                                                          \
    "exporters: {store: }\n"                                                                                      \
    "service: {pipelines: {logs: {receivers: [otlp], exporters: [store]}}}\n"

TEST(a_stock_file_is_read_as_it_is)
{
    SCOPED(buf_done) struct buf problems = {0}, warnings = {0};
    struct collector_config *cfg = parse(
        "receivers:\n"
        "  otlp:\n"
        "    protocols:\n"
        "      grpc: {endpoint: 127.0.0.1:4317, max_recv_msg_size_mib: 16}\n"
        "      http: {endpoint: 127.0.0.1:4318}\n"
        "processors:\n"
        "  batch: {timeout: 1s, send_batch_size: 100, send_batch_max_size: 200}\n"
        "  memory_limiter: {check_interval: 1s, limit_mib: 4000}\n"
        "exporters:\n"
        "  otlphttp/logs:\n"
        "    endpoint: http://127.0.0.1:3100/otlp/\n"
        "    tls: {insecure: true}\n"
        "    headers: {X-Scope-OrgID: me, Authorization: secret}\n"
        "    retry_on_failure: {max_elapsed_time: 10m}\n"
        "    sending_queue: {queue_size: 5000}\n"
        "  debug: {verbosity: normal}\n"
        "service:\n"
        "  telemetry: {metrics: {level: detailed, readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 9999}}}}]}}\n"
        "  pipelines:\n"
        "    logs: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlphttp/logs, debug]}\n"
        "    logs/more: {receivers: [otlp], exporters: [debug]}\n",
        &problems, &warnings);
    CHECK_SV(buf_view(&problems), SV(""));
    REQUIRE(cfg);
    CHECK_EQ(cfg->n_components, 5);
    CHECK_EQ(cfg->n_pipelines, 2);
    CHECK_STR(cfg->telemetry.host, "0.0.0.0");
    CHECK_EQ(cfg->telemetry.port, 9999);
    const struct component *ex = cfg->pipelines[0].exporters[0];
    CHECK_STR(ex->id, "otlphttp/logs");
    CHECK_STR(ex->plug->type, "otlp_http");
    struct batching bt = {0};
    config_batching(cfg, ex, &bt);
    CHECK_EQ(bt.min_records, 100);
    CHECK_EQ(bt.max_records, 200);
    CHECK_EQ(bt.timeout_ns, 1000000000);
    CHECK_STR(bt.processor, "batch");
    const struct sender_settings *st = component_sender(ex);
    REQUIRE(st);
    CHECK(st->queue.enabled && st->retry.enabled);
    CHECK_EQ(st->queue.queue_size, 5000);
    CHECK_EQ(st->retry.max_elapsed_time, 600 * 1000000000ll);
    CHECK_EQ(st->retry.initial_interval, 5 * 1000000000ll);
    collector_config_free(cfg);
}

TEST(defaults_and_optional_sections)
{
    SCOPED(buf_done) struct buf problems = {0}, warnings = {0};
    struct collector_config *cfg = parse(GOOD_TAIL, &problems, &warnings);
    REQUIRE(cfg);
    CHECK_STR(cfg->telemetry.level, "normal");
    CHECK_STR(cfg->telemetry.host, "127.0.0.1");
    CHECK_EQ(cfg->telemetry.port, 8888);
    CHECK(cfg->components[1].given != NULL);
    collector_config_free(cfg);
    cfg = parse("receivers: {otlp: {protocols: {grpc: {enabled: false}}}}\nexporters: {store: }\n"
                "service: {pipelines: {logs: {receivers: [otlp], exporters: [store]}}}\n",
                &problems, &warnings);
    CHECK(!cfg);
    CHECK_SV(buf_view(&problems),
             SV("c.yaml:1:31: receivers::otlp: must specify at least one protocol when using the OTLP receiver\n"));
}

/* Each: a line (or more) put in front of a good rest, or a whole file; and all that is said. */
TEST(what_is_wrong_is_named_with_its_place)
{
    static const struct {
        bool whole;
        const char *yaml, *want;
    } cases[] = {
        {true, "", "c.yaml:1:1: empty configuration file\n"},
        {true, "{}", "c.yaml:1:1: empty configuration file\n"},
        {true, "a", "c.yaml:1:1: expected a map with receivers, exporters and service\n"},
        {true, "a: 1\na: 2\n", "c.yaml:2:1: duplicate key: a\n"},
        {true, "service: {}\n",
         "c.yaml:1:1: no receiver configuration specified in config\n"
         "c.yaml:1:1: no exporter configuration specified in config\n"
         "c.yaml:1:10: service must have at least one pipeline\n"},
        {false, "recievers: {}\n", "c.yaml:1:1: '' has invalid keys: recievers; did you mean \"receivers\"?\n"},
        {false, "processors: {batsh: }\n",
         "c.yaml:1:14: 'processors' unknown type: \"batsh\" for id: \"batsh\" (valid values: [batch memory_limiter]); "
         "did you mean \"batch\"?\n"},
        {false, "extensions: {zpages: , health_check: {path: x}}\nconnectors: {count: }\n",
         "c.yaml:1:14: 'extensions' unknown type: \"zpages\" for id: \"zpages\" (valid values: [file_storage "
         "health_check])\n"
         "c.yaml:1:45: extensions::health_check: path must start with /\n"
         "c.yaml:2:14: 'connectors' unknown type: \"count\" for id: \"count\" (valid values: [])\n"},
        {false, "processors: {batch: {time_out: 1s}}\n",
         "c.yaml:1:22: processors::batch has invalid keys: time_out; did you mean 'timeout'?\n"},
        {false, "processors: {batch: {timeout: 5 sec, send_batch_size: \"10\"}}\n",
         "c.yaml:1:31: processors::batch: 'timeout': not a duration: '5 sec' (write 200ms, 5s, 1h30m)\n"
         "c.yaml:1:55: processors::batch::send_batch_size: expected a whole number, found a string\n"},
        {false, "processors: {batch: {send_batch_max_size: 5, timeout: -1s}}\n",
         "c.yaml:1:43: processors::batch: send_batch_max_size must be greater or equal to send_batch_size\n"
         "c.yaml:1:55: processors::batch: timeout must be greater or equal to 0\n"},
        {true,
         "receivers: {otlp: {protocols: {http: {keep_alives_enabled: false}}}}\nexporters: {debug: {use_internal_logger: true}}\n"
         "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n",
         "c.yaml:1:39: receivers::otlp::protocols::http::keep_alives_enabled can only be true: connections are kept\n"},
        {true,
         "receivers: {otlp: {max_records: 5000000000, decoding_queue_size: 0, protocols: {http: }}}\nexporters: {debug: }\n"
         "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n",
         "c.yaml:1:33: receivers::otlp: 'max_records' must be at most 4294967295\n"
         "c.yaml:1:66: receivers::otlp: 'decoding_queue_size' must be from 1 to 1000000\n"},
        {false, "processors: {batch: 5}\n", "c.yaml:1:21: processors::batch: expected a map, found a scalar\n"},
        {false, "processors: {batch: , \"batch \": }\n",
         "c.yaml:1:23: 'processors' duplicate name \"batch \" after trimming\n"},
        {false, "processors: {9batch: }\n",
         "c.yaml:1:14: 'processors' invalid id: \"9batch\" (write type or type/name)\n"},
        {false, "processors: {batch/: }\n",
         "c.yaml:1:14: 'processors' invalid id: \"batch/\" (write type or type/name)\n"},
        {false, "processors: {memory_limiter: }\n",
         "c.yaml:1:14: processors::memory_limiter: 'check_interval' must be greater than zero\n"
         "c.yaml:1:14: processors::memory_limiter: 'limit_mib' or 'limit_percentage' must be greater than zero\n"},
        {false, "processors: {memory_limiter: {check_interval: 1s, limit_mib: 10, spike_limit_mib: 10}}\n",
         "c.yaml:1:83: processors::memory_limiter: 'spike_limit_mib' must be smaller than 'limit_mib'\n"},
        {false, "processors: {batch: {metadata_keys: [tenant]}}\n",
         "c.yaml:1:22: processors::batch::metadata_keys is not supported: requests of different tenants are never joined; "
         "there are no other partitions\n"},
        {true,
         "receivers: {otlp: {protocols: {grpc: {endpont: x, tls: {cert_file: c}}, http: {endpoint: nowhere, auth: {authenticator: x}}}}}\n"
         "exporters: {store: }\n"
         "service: {pipelines: {logs: {receivers: [otlp], exporters: [store]}}}\n",
         "c.yaml:1:39: receivers::otlp::protocols::grpc has invalid keys: endpont; did you mean 'endpoint'?\n"
         "c.yaml:1:56: receivers::otlp::protocols::grpc::tls: provide both certificate and key: 'cert_file' and "
         "'key_file'\n"
         "c.yaml:1:99: receivers::otlp::protocols::http::auth is not supported: there are no authenticators yet\n"
         "c.yaml:1:90: receivers::otlp::protocols::http: invalid port \"\" in endpoint \"nowhere\" (write host:port)\n"},
        {true,
         "receivers: {otlp: {protocols: {http: }}}\n"
         "exporters:\n"
         "  logging:\n"
         "  otlphttpx: {}\n"
         "  otlphttp/a: {endpoint: here, encoding: xml, compression: x-snappy-framed}\n"
         "  otlp/c: {endpoint: ftp://x, compression: snappy, headers: {a b: c}}\n"
         "  otlp/d: {}\n"
         "  otlp/e: {endpoint: \"host:x\"}\n"
         "  otlphttp/b: {headers: [x], sending_queue: {num_consumers: 0, storage: file_storage, sizer: kilos}}\n"
         "service: {pipelines: {logs: {receivers: [otlp], exporters: [otlphttp/a]}}}\n",
         "c.yaml:3:3: 'exporters' the logging exporter has been deprecated, use the debug exporter instead\n"
         "c.yaml:4:3: 'exporters' unknown type: \"otlphttpx\" for id: \"otlphttpx\" (valid values: [otlp_http otlphttp "
         "otlp_grpc otlp debug store]); did you mean \"otlphttp\"?\n"
         "c.yaml:5:26: exporters::otlphttp/a: 'endpoint' must be a URL such as http://127.0.0.1:4318, not \"here\"\n"
         "c.yaml:5:60: exporters::otlphttp/a: unsupported compression type \"x-snappy-framed\"\n"
         "c.yaml:5:42: exporters::otlphttp/a: invalid encoding type: xml\n"
         "c.yaml:6:22: exporters::otlp/c: 'endpoint' must be host:port, http:// or https://, not \"ftp://x\"\n"
         "c.yaml:6:44: exporters::otlp/c: unsupported compression type \"snappy\" (gzip, none)\n"
         "c.yaml:6:61: exporters::otlp/c: not a header's name: \"a b\"\n"
         "c.yaml:7:11: exporters::otlp/d: requires a non-empty \"endpoint\"\n"
         "c.yaml:8:22: exporters::otlp/e: invalid port \"x\" in endpoint \"host:x\" (write host:port)\n"
         "c.yaml:9:25: exporters::otlphttp/b::headers: expected a map, found a list\n"
         "c.yaml:9:94: exporters::otlphttp/b::sending_queue: invalid sizer: kilos (requests, items, bytes)\n"
         "c.yaml:9:61: exporters::otlphttp/b::sending_queue: `num_consumers` must be positive\n"
         "c.yaml:9:15: exporters::otlphttp/b: at least one endpoint must be specified\n"
         "c.yaml:9:3: exporters::otlphttp/b::sending_queue::storage: \"file_storage\" is not a storage extension of "
         "service::extensions (without storage the queue is on disk too, under the data directory)\n"},
        {true,
         "receivers: {otlp: {protocols: {http: }}}\n"
         "processors: {batch: }\n"
         "exporters: {store: , debug: }\n"
         "service:\n"
         "  extensions: [zpages]\n"
         "  pipelines:\n"
         "    traces: {receivers: [otlp], exporters: [store]}\n"
         "    logs/a: {receivers: [oltp], processors: [batch, batch], exporters: []}\n"
         "    logs/b: {receiver: [otlp], exporters: [store/x]}\n",
         "c.yaml:5:16: service::extensions: references extension \"zpages\" which is not configured\n"
         "c.yaml:7:5: service::pipelines::traces: only logs are carried here; send this signal elsewhere\n"
         "c.yaml:8:26: service::pipelines::logs/a: references receiver \"oltp\" which is not configured; did you mean "
         "\"otlp\"?\n"
         "c.yaml:8:53: service::pipelines::logs/a: references processor \"batch\" multiple times\n"
         "c.yaml:8:72: service::pipelines::logs/a: must have at least one exporter\n"
         "c.yaml:9:14: service::pipelines::logs/b has invalid keys: receiver; did you mean \"receivers\"?\n"
         "c.yaml:5:3: service::pipelines::logs/b: must have at least one receiver\n"
         "c.yaml:9:44: service::pipelines::logs/b: references exporter \"store/x\" which is not configured; did you mean "
         "\"store\"?\n"},
        {true,
         "receivers: {otlp: {protocols: {http: }}}\n"
         "processors: {batch/a: , batch/b: }\n"
         "exporters: {store: }\n"
         "service: {pipelines: {logs/a: {receivers: [otlp], processors: [batch/a], exporters: [store]},\n"
         "  logs/b: {receivers: [otlp], processors: [batch/b], exporters: [store]}}}\n",
         "c.yaml:2:25: exporter \"store\" has one queue, but pipelines with different batch processors: \"batch/a\" and "
         "\"batch/b\"; give it one, or use two exporters\n"},
        {true,
         "receivers: {otlp: {protocols: {http: }}}\n"
         "exporters: {store: }\n"
         "service:\n"
         "  telemetry: {metrics: {level: loud, address: x}, traces: {a: b}, logs: {level: noisy, encoding: json}}\n"
         "  pipelines: {logs: {receivers: [otlp], exporters: [store]}}\n",
         "c.yaml:4:38: service::telemetry::metrics::address is not supported: use readers: [{pull: {exporter: "
         "{prometheus: {host: localhost, port: 8888}}}}]\n"
         "c.yaml:4:32: service::telemetry::metrics: unknown metrics level \"loud\" (none, basic, normal, detailed)\n"
         "c.yaml:4:51: service::telemetry::traces is not supported: the collector does not trace itself\n"
         "c.yaml:4:81: service::telemetry::logs: unrecognized level: \"noisy\" (debug, info, warn, error)\n"
         "c.yaml:4:98: service::telemetry::logs: invalid encoding: json (console)\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(buf_done) struct buf problems = {0}, warnings = {0}, text = {0};
        buf_fmt(&text, "%s%s", cases[i].yaml, cases[i].whole ? "" : GOOD_TAIL);
        buf_char(&text, 0);
        struct collector_config *cfg = parse(text.p, &problems, &warnings);
        int before = test_failures;
        CHECK_SV(buf_view(&problems), sv_of(cases[i].want));
        if (test_failures > before)
            printf("#   in case %zu: %.100s\n", i, cases[i].yaml);
        collector_config_free(cfg);
    }
}

TEST(a_storage_extension_moves_the_queue)
{
    SCOPED(buf_done) struct buf problems = {0}, warnings = {0};
    struct collector_config *cfg = parse(
        "receivers: {otlp: {protocols: {http: }}}\n"
        "extensions: {file_storage/q: {directory: /var/q}}\n"
        "exporters: {otlp: {endpoint: \"x:1\", sending_queue: {storage: file_storage/q}}, otlphttp: {endpoint: \"http://x\"}}\n"
        "service: {extensions: [file_storage/q], pipelines: {logs: {receivers: [otlp], exporters: [otlp, otlphttp]}}}\n",
        &problems, &warnings);
    CHECK_SV(buf_view(&problems), SV(""));
    REQUIRE(cfg);
    CHECK_STR(config_queue_dir(cfg, cfg->pipelines[0].exporters[0], "data"), "/var/q");
    CHECK_STR(config_queue_dir(cfg, cfg->pipelines[0].exporters[1], "data"), "data");
    collector_config_free(cfg);
}

TEST(records_are_printed_for_people)
{
    SCOPED(buf_done) struct buf in = {0}, out = {0};
    size_t rl = otlp_open(&in, 1), res = otlp_open(&in, 1);
    otlp_put_attr_str(&in, 1, SV("service.name"), SV("shop"));
    otlp_close(&in, res);
    size_t sl = otlp_open(&in, 2), scope = otlp_open(&in, 1);
    otlp_put_bytes(&in, 1, SV("lib"));
    otlp_put_bytes(&in, 2, SV("1.0"));
    otlp_close(&in, scope);
    size_t lr = otlp_open(&in, 2);
    otlp_put_fixed64(&in, 1, 1581452773000000789ull);
    otlp_put_varint(&in, 2, 10);
    otlp_put_bytes(&in, 3, SV("Info"));
    size_t body = otlp_open(&in, 5);
    otlp_put_bytes(&in, 1, SV("paid"));
    otlp_close(&in, body);
    otlp_put_attr_i64(&in, 6, SV("ms"), 12);
    otlp_put_bytes(&in, 9, SV("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"));
    otlp_close(&in, lr);
    otlp_close(&in, sl);
    otlp_close(&in, rl);
    debug_print_normal(buf_view(&in), &out);
    CHECK_SV(buf_view(&out), SV("ResourceLog #0 service.name=shop\nScopeLog #0 lib@1.0\npaid ms=12\n"));
    buf_reset(&out);
    debug_print_detailed(buf_view(&in), &out);
    CHECK_SV(buf_view(&out), SV("ResourceLog #0\nResource SchemaURL: \nResource attributes:\n     -> service.name: Str(shop)\n"
                                "ScopeLogs #0\nScopeLogs SchemaURL: \nInstrumentationScope lib 1.0\nLogRecord #0\n"
                                "ObservedTimestamp: 1970-01-01 00:00:00 +0000 UTC\n"
                                "Timestamp: 2020-02-11 20:26:13.000000789 +0000 UTC\n"
                                "SeverityText: Info\nSeverityNumber: Info2(10)\nBody: Str(paid)\nAttributes:\n"
                                "     -> ms: Int(12)\nTrace ID: 0102030405060708090a0b0c0d0e0f10\nSpan ID: \nFlags: 0\n"));
}

TEST(keys_without_effect_are_warnings)
{
    SCOPED(buf_done) struct buf problems = {0}, warnings = {0};
    struct collector_config *cfg = parse("processors: {memory_limiter: {check_interval: 1s, limit_mib: 9, "
                                         "min_gc_interval_when_soft_limited: 1s}}\n" GOOD_TAIL,
                                         &problems, &warnings);
    CHECK(cfg);
    CHECK_SV(buf_view(&warnings), SV("c.yaml:1:65: processors::memory_limiter::min_gc_interval_when_soft_limited has no "
                                     "effect: there is no garbage collector\n"));
    collector_config_free(cfg);
}

TEST(many_problems_are_cut_off_not_the_first)
{
    SCOPED(buf_done) struct buf text = {0}, problems = {0}, warnings = {0};
    buf_fmt(&text, "processors:\n");
    for (int i = 0; i < 500; i++)
        buf_fmt(&text, "  nope/%d:\n", i);
    buf_fmt(&text, GOOD_TAIL);
    buf_char(&text, 0);
    CHECK(!parse(text.p, &problems, &warnings));
    CHECK(sv_starts(buf_view(&problems), SV("c.yaml:2:3: ")));
    CHECK(problems.n < 20000);
}

/* ---- references ---- */

static const char *fake_env(const char *name)
{
    static const char *const vars[][2] = {
        {"ONE", "1"},        {"TEXT", "some text"}, {"EMPTY", ""},        {"NAME", "TEXT"},   {"LIST", "[a, b]"},
        {"MAP", "{k: 7}"},   {"ZERO", "0123"},      {"DOLLAR", "a$$b"},   {"INNER", "<${env:TEXT}>"},
        {"SELF", "${env:SELF}x"}, {"SELFLIST", "[\"${env:SELFLIST}\"]"}, {"BROKEN", "[a"}, {"TRUE", "true"},
        {"QUOTED", "\"q\""}, {"COLON", "a: b"}, {"HASH", "#x"}};
    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        if (strcmp(vars[i][0], name) == 0)
            return vars[i][1];
    return NULL;
}

static void dump(const struct yaml *y, struct buf *out)
{
    if (y->kind == YAML_NULL)
        buf_fmt(out, "null");
    if (y->kind == YAML_SCALAR)
        buf_fmt(out, SV_FMT, SV_ARG(y->text));
    if (y->kind == YAML_MAP || y->kind == YAML_LIST) {
        buf_char(out, '(');
        for (const struct yaml *c = y->first; c; c = c->next) {
            buf_fmt(out, "%s" SV_FMT "%s", c == y->first ? "" : " ", SV_ARG(c->key), c->key.n ? "=" : "");
            dump(c, out);
        }
        buf_char(out, ')');
    }
}

TEST(references_are_expanded_as_upstream_does)
{
    static const struct {
        const char *yaml, *want, *problem;
    } cases[] = {
        {"${env:ONE}", "1", ""},
        {"${ONE}", "1", ""},
        {"\"${env:ONE}\"", "1", ""},
        {"x ${env:TEXT} y", "x some text y", ""},
        {"${env:TEXT}-${env:ONE}-${env:TEXT}", "some text-1-some text", ""},
        {"${env:NO:-default}", "default", ""},
        {"${env:NO:-}", "null", ""},
        {"${env:EMPTY:-default}", "null", ""},
        {"a${env:EMPTY:-default}b", "ab", ""},
        {"${env:NO:-http://h:1/p}", "http://h:1/p", ""},
        {"${env:${env:NAME}}", "some text", ""},
        {"${env:LIST}", "(a b)", ""},
        {"x${env:LIST}", "x[a, b]", ""},
        {"${env:MAP}", "(k=7)", ""},
        {"${env:ZERO}", "0123", ""},
        {"${env:INNER}", "<some text>", ""},
        {"${env:BROKEN}", "[a", ""},
        {"${env:QUOTED}", "\"q\"", ""},
        {"${env:HASH}", "#x", ""},
        {"${yaml:[1, 2]}", "(1 2)", ""},
        {"$VAR ${} $", "$VAR ${} $", "c.yaml:1:4: not an environment variable's name (letters, digits, '_'): \n"},
        {"$$", "$", ""},
        {"$$1 $$$$2", "$1 $$2", ""},
        {"$${ONE}", "${ONE}", ""},
        {"$$${ONE}", "$1", ""},
        {"$$$${ONE}", "$${ONE}", ""},
        {"$${ONE} ${ONE}", "1 would be wrong", NULL},
        {"${env:DOLLAR}", "a$b", ""},
        {"no reference } ${", "no reference } ${", ""},
        {"${env:9X}", "${env:9X}", "c.yaml:1:4: not an environment variable's name (letters, digits, '_'): 9X\n"},
        {"${env:A$B}", "${env:A$B}", "c.yaml:1:4: contains unsupported characters ('$'): ${env:A$B}\n"},
        {"${ftp:x}", "${ftp:x}", "c.yaml:1:4: scheme \"ftp\" is not supported for uri \"ftp:x\" (valid: env, file, yaml)\n"},
        {"${X:-y}", "${X:-y}",
         "c.yaml:1:4: scheme \"X\" is not supported for uri \"X:-y\"; did you mean ${env:X:-y}?\n"},
        {"{k: [\"${env:ONE}\", {\"${ONE}\": x}]}", "(k=(1 (${ONE}=x)))", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        arena_init(&a, 4 << 20);
        struct problems ps = {.a = &a, .file = "c.yaml"};
        SCOPED(buf_done) struct buf text = {0}, got = {0};
        buf_fmt(&text, "v: %s\n", cases[i].yaml);
        struct yaml *y;
        struct err e = {0};
        CHECK_OK(yaml_parse(buf_view(&text), "c.yaml", &a, &y, &e), &e);
        if (e.code)
            continue;
        expand_tree(y, &ps, fake_env);
        dump(yaml_get(y, SV("v")), &got);
        if (!cases[i].problem) { /* the search ends at the first escaped reference */
            CHECK_SV(buf_view(&got), SV("${ONE} ${ONE}"));
        } else {
            CHECK_SV(buf_view(&got), sv_of(cases[i].want));
            CHECK_SV(buf_view(&ps.text), sv_of(cases[i].problem));
        }
        buf_done(&ps.text);
        buf_done(&ps.warnings);
        arena_done(&a);
    }
}

TEST(references_to_themselves_end)
{
    static const char *const names[] = {"SELF", "SELFLIST"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct arena a;
        arena_init(&a, 64 << 20);
        struct problems ps = {.a = &a, .file = "c.yaml"};
        char text[60];
        struct yaml *y;
        struct err e = {0};
        snprintf(text, sizeof text, "v: ${env:%s}\n", names[i]);
        REQUIRE_OK(yaml_parse(sv_of(text), "c.yaml", &a, &y, &e), &e);
        expand_tree(y, &ps, fake_env);
        CHECK(sv_find(buf_view(&ps.text), SV("too many recursive expansions")) != SV_NPOS);
        buf_done(&ps.text);
        arena_done(&a);
    }
}

TEST(the_fields_kind_decides_how_a_variable_is_read)
{
    setenv("WEIR_TEST_N", "12", 1);
    setenv("WEIR_TEST_PW", "a: b", 1);
    setenv("WEIR_TEST_PORT", "0123", 1);
    setenv("WEIR_TEST_QUEUE", "{num_consumers: 3}", 1);
    unsetenv("WEIR_TEST_UNSET");
    SCOPED(buf_done) struct buf problems = {0}, warnings = {0};
    struct collector_config *cfg = parse(
        "receivers: {otlp: {protocols: {http: {endpoint: \"h:${env:WEIR_TEST_PORT}\"}}}}\n"
        "processors: {batch: {send_batch_size: \"${env:WEIR_TEST_N}\", timeout: \"${env:WEIR_TEST_UNSET}\"}}\n"
        "exporters: {otlphttp: {endpoint: \"http://x\", headers: {authorization: \"${env:WEIR_TEST_PW}\"}, "
        "sending_queue: \"${env:WEIR_TEST_QUEUE}\"}}\n"
        "service: {pipelines: {logs: {receivers: [otlp], processors: [batch], exporters: [otlphttp]}}}\n",
        &problems, &warnings);
    CHECK_SV(buf_view(&problems), SV(""));
    CHECK_SV(buf_view(&warnings), SV("c.yaml:2:70: environment variable WEIR_TEST_UNSET is not set\n"));
    REQUIRE(cfg);
    struct batching bt;
    config_batching(cfg, cfg->pipelines[0].exporters[0], &bt);
    CHECK_EQ(bt.min_records, 12);
    CHECK_EQ(bt.timeout_ns, 200000000); /* not set: the default */
    CHECK_EQ(component_sender(cfg->pipelines[0].exporters[0])->queue.num_consumers, 3);
    collector_config_free(cfg);
}

TEST(the_reference_page_has_every_key)
{
    const char *root = getenv("WEIR_SOURCE_ROOT");
    if (!root)
        SKIP("WEIR_SOURCE_ROOT is not set");
    SCOPED(buf_done) struct buf want = {0}, page = {0};
    collector_print_reference(&want);
    char path[500];
    snprintf(path, sizeof path, "%s/docs/collector.md", root);
    FILE *f = fopen(path, "rb");
    REQUIRE(f);
    char *at;
    while ((at = buf_reserve(&page, 65536)) && !feof(f) && !ferror(f))
        page.n += fread(at, 1, 65536, f);
    fclose(f);
    if (sv_find(buf_view(&page), buf_view(&want)) != SV_NPOS)
        return;
    test_fail(__FILE__, __LINE__, "docs/collector.md differs from the rows; put this into it:");
    for (sv rest = buf_view(&want); rest.p;) {
        sv line = sv_cut(&rest, '\n');
        printf("# " SV_FMT "\n", SV_ARG(line));
    }
}

TEST(checking_a_file_starts_nothing)
{
    char path[200];
    snprintf(path, sizeof path, "%s/c.yaml", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    fputs("receivers: {otlp: {protocols: {http: {endpoint: \"192.0.2.1:1\"}}}}\nexporters: {debug: }\n"
          "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n", f);
    fclose(f);
    SCOPED(buf_done) struct buf problems = {0};
    struct err e = {0};
    CHECK_OK(collector_check(path, &problems, &e), &e);
    CHECK_EQ(problems.n, 0);
    snprintf(path, sizeof path, "%s/none.yaml", test_dir());
    CHECK(!collector_check(path, &problems, &e));
    CHECK(sv_find(buf_view(&problems), SV("none.yaml")) != SV_NPOS);
}
