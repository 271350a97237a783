/* config_test.c - declarative configuration: references and kinds, what the schema takes and refuses, what comes of it. */
#include "base/io.h"
#include "sdk/config.h"
#include "sdk/logger_config.h"
#include "sdk/pipeline.h"
#include "sdk/test_peer.h"
#include "sdk/yaml_load.h"
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

/* The variables of the specification's table of examples, and some. */
static const char *fake_env(const char *name)
{
    static const char *const vars[][2] = {
        {"STRING_VALUE", "value"},
        {"BOOL_VALUE", "true"},
        {"INT_VALUE", "1"},
        {"FLOAT_VALUE", "1.1"},
        {"HEX_VALUE", "0xdeadbeef"},
        {"INVALID_MAP_VALUE", "value\nkey:value"},
        {"DO_NOT_REPLACE_ME", "Never use this value"},
        {"REPLACE_ME", "${DO_NOT_REPLACE_ME}"},
        {"VALUE_WITH_ESCAPE", "value$$"},
        {"EMPTY", ""},
        {"NULL_WORD", "null"},
        {"env", "named env"},
        {"LIST", "[a, b]"},
        {"LATIN", "\xe4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        if (strcmp(name, vars[i][0]) == 0)
            return vars[i][1];
    return NULL;
}

static char kind_letter(const struct yaml *y)
{
    return "nbifs"[scalar_of(y).kind];
}

TEST(references_are_replaced)
{
    static const struct {
        const char *in;
        char kind; /* null, bool, int, float, string */
        const char *want;
    } rows[] = {
        {"${STRING_VALUE}", 's', "value"},
        {"${BOOL_VALUE}", 'b', "true"},
        {"${INT_VALUE}", 'i', "1"},
        {"${FLOAT_VALUE}", 'f', "1.1"},
        {"${HEX_VALUE}", 'i', "0xdeadbeef"},
        {"\"${STRING_VALUE}\"", 's', "value"},
        {"\"${BOOL_VALUE}\"", 's', "true"},
        {"'${INT_VALUE}'", 's', "1"},
        {"\"${HEX_VALUE}\"", 's', "0xdeadbeef"},
        {"${env:STRING_VALUE}", 's', "value"},
        {"${INVALID_MAP_VALUE}", 's', "value\nkey:value"},
        {"${LIST}", 's', "[a, b]"},
        {"foo ${STRING_VALUE} ${FLOAT_VALUE}", 's', "foo value 1.1"},
        {"${INT_VALUE}${INT_VALUE}", 'i', "11"},
        {"${UNDEFINED_KEY}", 'n', ""},
        {"\"${UNDEFINED_KEY}\"", 's', ""},
        {"${NULL_WORD}", 'n', "null"},
        {"${UNDEFINED_KEY:-fallback}", 's', "fallback"},
        {"${UNDEFINED_KEY:-7}", 'i', "7"},
        {"${UNDEFINED_KEY:-a b:-c}", 's', "a b:-c"},
        {"${UNDEFINED_KEY:-}", 'n', ""},
        {"${EMPTY:-fallback}", 's', "fallback"},
        {"${env:EMPTY:-fallback}", 's', "fallback"},
        {"${STRING_VALUE:-fallback}", 's', "value"},
        {"${env:-x}", 's', "named env"}, /* a variable of that name */
        {"${REPLACE_ME}", 's', "${DO_NOT_REPLACE_ME}"},
        {"${UNDEFINED_KEY:-${STRING_VALUE}}", 's', "${STRING_VALUE}"},
        {"$${STRING_VALUE}", 's', "${STRING_VALUE}"},
        {"$$${STRING_VALUE}", 's', "$value"},
        {"$$$${STRING_VALUE}", 's', "$${STRING_VALUE}"},
        {"$${STRING_VALUE:-fallback}", 's', "${STRING_VALUE:-fallback}"},
        {"$${STRING_VALUE:-${STRING_VALUE}}", 's', "${STRING_VALUE:-value}"},
        {"${UNDEFINED_KEY:-$${UNDEFINED_KEY}}", 's', "${UNDEFINED_KEY:-${UNDEFINED_KEY}}"},
        {"${VALUE_WITH_ESCAPE}", 's', "value$$"},
        {"a $$ b", 's', "a $ b"},
        {"a $ b", 's', "a $ b"},
        {"a ${ b", 's', "a ${ b"},
        {"a ${} b", 's', "a ${} b"},
        {"$$", 's', "$"},
        {"plain}", 's', "plain}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(arena_done) struct arena a;
        SCOPED(buf_done) struct buf text = {0};
        struct yaml *root = NULL;
        struct err e = {0};
        arena_init(&a, 0);
        buf_fmt(&text, "${STRING_VALUE}:\n- x\n- %s\n", rows[i].in);
        REQUIRE_OK(yaml_load(buf_view(&text), "f", &a, &root, &e), &e);
        REQUIRE_OK(config_substitute(root, "f", fake_env, &a, &e), &e);
        CHECK_SV(root->first->key, SV("${STRING_VALUE}")); /* never a key */
        const struct yaml *got = root->first->first->next;
        CHECK_STR(((char[]){kind_letter(got), 0}), ((char[]){rows[i].kind, 0}));
        CHECK_SV(got->text, sv_of(rows[i].want));
    }
}

TEST(bad_references_end_it)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"${STRING_VALUE:?error}", "f:2:6: ${STRING_VALUE:?error}: a reference is ${NAME}"},
        {"${1API_KEY}", "f:2:6: ${1API_KEY}: a reference is ${NAME}, ${env:NAME} or ${NAME:-default}"},
        {"${API_$KEY}", "${API_$KEY}: a reference is"},
        {"x ${env:}", "${env:}: a reference is"},
        {"${ STRING_VALUE }", "a reference is"},
        {"${STRING_VALUE:-a\x01}", "${STRING_VALUE:-a…: a reference is"},
        {"\"${STRING_VALUE:-a\\nb}\"", "${STRING_VALUE:-a…: a reference is"},
        {"${sys:os.name}", "f:2:6: ${sys:os.name}: only env: is known here as a prefix"},
        {"${LATIN}", "${LATIN}: the variable's value is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(arena_done) struct arena a;
        SCOPED(buf_done) struct buf text = {0};
        struct yaml *root = NULL;
        struct err e = {0};
        arena_init(&a, 0);
        buf_fmt(&text, "a: 1\nkey: %s\n", rows[i].in);
        REQUIRE_OK(yaml_load(buf_view(&text), "f", &a, &root, &e), &e);
        CHECK(!config_substitute(root, "f", fake_env, &a, &e));
        CHECK_ERR(&e, ERR_PARSE, rows[i].want);
    }
}

TEST(scalars_have_the_kinds_of_the_core_schema)
{
    static const struct {
        const char *text;
        char kind;
        double number;
    } rows[] = {
        {"", 'n', 0}, {"~", 'n', 0}, {"Null", 'n', 0}, {"nULL", 's', 0},
        {"true", 'b', 0}, {"TRUE", 'b', 0}, {"tRUE", 's', 0}, {"yes", 's', 0}, {"on", 's', 0}, {"False", 'b', 0},
        {"0", 'i', 0}, {"-12", 'i', -12}, {"+12", 'i', 12}, {"007", 'i', 7}, {"0o17", 'i', 15}, {"0xFf", 'i', 255},
        {"0o8", 's', 0}, {"0x", 's', 0}, {"0xg", 's', 0}, {"-0x1", 's', 0}, {"0X1", 's', 0}, {"1_000", 's', 0}, {"-", 's', 0},
        {"+", 's', 0},
        {"1.5", 'f', 1.5}, {"1.", 'f', 1}, {".5", 'f', .5}, {"-.5e1", 'f', -5}, {"1e3", 'f', 1000}, {"1E-2", 'f', .01},
        {".", 's', 0}, {"1e", 's', 0}, {"e1", 's', 0}, {"1.2.3", 's', 0}, {"1.5f", 's', 0}, {"inf", 's', 0}, {"nan", 's', 0},
        {".inf", 'f', INFINITY}, {"-.INF", 'f', -INFINITY}, {"+.Inf", 'f', INFINITY}, {"-.nan", 's', 0},
        {"9223372036854775807", 'i', 9223372036854775807.}, {"9223372036854775808", 'i', 9223372036854775808.},
        {"0xffffffffffffffffff", 'i', 4722366482869645213695.}, {"1.0.0", 's', 0}, {"2026-08-21", 's', 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct yaml y = {.kind = YAML_SCALAR, .text = sv_of(rows[i].text)};
        if (kind_letter(&y) != rows[i].kind || scalar_of(&y).number != rows[i].number)
            test_fail(__FILE__, __LINE__, "'%s' is %c %g", rows[i].text, kind_letter(&y), scalar_of(&y).number);
        y.quoted = true;
        CHECK_EQ(kind_letter(&y), 's');
    }
    struct yaml y = {.kind = YAML_SCALAR, .text = SV(".NaN")};
    CHECK(isnan(scalar_of(&y).number));
    y.text = SV("9223372036854775807");
    CHECK(scalar_of(&y).fits && scalar_of(&y).integer == INT64_MAX);
    y.text = SV("9223372036854775808");
    CHECK(!scalar_of(&y).fits);
    y.text = SV("0x8000000000000000");
    CHECK(!scalar_of(&y).fits);
    y.text = SV("-9223372036854775808");
    CHECK(scalar_of(&y).fits && scalar_of(&y).integer == INT64_MIN);
}

TEST(patterns_match)
{
    static const struct {
        const char *pattern, *text;
        bool want;
    } rows[] = {
        {"a.b", "a.b", true}, {"a.b", "axb", false}, {"a.b", "A.b", false}, {"", "", true}, {"", "a", false}, {"*",
         "", true}, {"*", "abc", true},
        {"process.*", "process.pid", true}, {"process.*", "process", false}, {"*.id", "host.id", true}, {"*.id", "host.ids", false},
        {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXcYb", false}, {"?", "a", true}, {"?", "", false}, {"?", "\xc3\xa4", true},
        {"a?c", "a\xe2\x82\xac" "c", true}, {"??", "\xc3\xa4", false}, {"*?", "\xc3\xa4", true}, {"**", "x", true}, {"a**",
         "a", true},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (config_matches(sv_of(rows[i].pattern), sv_of(rows[i].text)) != rows[i].want)
            test_fail(__FILE__, __LINE__, "'%s' and '%s'", rows[i].pattern, rows[i].text);
}

/* ---- reading ---- */

static bool parse(const char *text, struct config **ret, struct err *e)
{
    *ret = NULL;
    *e = (struct err){0};
    return config_parse(sv_of(text), "f", fake_env, ret, e);
}

#define PROVIDER "file_format: \"1.0\"\nlogger_provider:\n"
#define BATCH PROVIDER "  processors:\n  - batch:\n"
#define HTTP PROVIDER "  processors:\n  - simple:\n      exporter:\n        otlp_http:\n"
#define CONSOLE PROVIDER "  processors:\n  - simple: {exporter: {console: }}\n"
#define RESOURCE "file_format: \"1.0\"\nresource:\n"

TEST(what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "f:1:1: a map with file_format in it is wanted, and this is nothing"},
        {"- a", "and this is a list"},
        {"a: b", "f:1:1: 'file_format' is missing: this is no configuration of OpenTelemetry"},
        {"file_format:", "f:1:1: file_format: has no value, and must have one"},
        {"file_format: \"2.0\"", "f:1:14: file_format: version 2.0 is not read here, versions 1.x are"},
        {"file_format: \"0.4\"", "version 0.4 is not read here"},
        {"file_format: one", "file_format: is not a version like \"1.1\""},
        {"file_format: 1", "file_format: is not a version"},
        {"file_format: [1]", "file_format: is not a version"},
        {"file_format: \"1.0\"\ndisabled: \"true\"",
         "f:2:11: disabled: true or false is wanted here, and this is a string (it is in quotes)"},
        {"file_format: \"1.0\"\ndisabled: {}", "true or false is wanted here, and this is a map"},
        {"file_format: \"1.0\"\nlog_level: INFO", "log_level: 'INFO' is not a severity: trace, debug"},
        {"file_format: \"1.0\"\nlog_level: info5", "'info5' is not a severity"},
        {"file_format: \"1.0\"\nlog_level: info1", "'info1' is not a severity"},
        {"file_format: \"1.0\"\na: ${x y}", "f:2:4: ${x y}: a reference is"},
        {"file_format: \"1.0\"\na: [", "f:"},
        {"file_format: \"1.0\"\nfile_format: \"1.0\"", "f:2:1: duplicate key: file_format"},
        {"file_format: \"1.0\"\nattribute_limits: {attribute_count_limit: -1}",
         "attribute_limits.attribute_count_limit: -1 is not from 0 to"},
        {"file_format: \"1.0\"\nattribute_limits: {attribute_count_limit: 1.5}",
         "a whole number is wanted here, and this is a number"},
        {"file_format: \"1.0\"\nattribute_limits: {attribute_value_depth_limit: 0}", "0 is not from 1 to"},
        {"file_format: \"1.0\"\nattribute_limits: {attribute_value_length_limit: 99999999999999999999}", "is not from 0 to"},
        {"file_format: \"1.0\"\nattribute_limits: {attribute_cout_limit: 1}",
         "f:2:20: attribute_limits: 'attribute_cout_limit' is not known here; did you mean 'attribute_count_limit'? (there "
         "are attribute_count_limit, "
         "attribute_value_length_limit and attribute_value_depth_limit)"},
        {PROVIDER, "f:2:1: logger_provider: 'processors' is missing"},
        {PROVIDER "  processors:\n", "logger_provider.processors: has no value, and must have one"},
        {PROVIDER "  processors: []\n", "f:3:15: logger_provider.processors: the list is empty"},
        {PROVIDER "  processors: {}\n", "logger_provider.processors: a list is wanted here, and this is a map"},
        {PROVIDER "  processors: [batch]\n",
         "logger_provider.processors[0]: a map with one key is wanted here, the kind of processor (there are batch and simple)"},
        {PROVIDER "  processors: [{batch: , simple: }]\n", "a map with one key is wanted"},
        {PROVIDER "  processors: [{event_to_span_event_bridge/development: }]\n",
         "f:3:17: logger_provider.processors[0]: 'event_to_span_event_bridge/development' is not known here (there are batch "
         "and simple)"},
        {PROVIDER "  processors: [{batch: }]\n", "logger_provider.processors[0].batch: 'exporter' is missing"},
        {PROVIDER "  processors: [{simple: {exporter: }}]\n", "logger_provider.processors[0].simple.exporter: has no value"},
        {PROVIDER "  procesors: []\n", "f:3:3: logger_provider: 'procesors' is not known here; did you mean 'processors'?"},
        {CONSOLE "  - simple: {exporter: {zipkin: }}\n",
         "f:5:25: logger_provider.processors[1].simple.exporter: 'zipkin' is not known here (there are otlp_http, otlp_grpc, "
         "otlp_file/development and console)"},
        {CONSOLE "  - simple: {exporter: {console: {a: 1}}}\n", "simple.exporter.console: has no settings"},
        {CONSOLE "  - simple: {exporter: {console: 1}}\n", "simple.exporter.console: a map is wanted here, and this is a number"},
        {BATCH "      schedule_delay: -1\n",
         "f:5:23: logger_provider.processors[0].batch.schedule_delay: -1 is not from 0 to 2147483647"},
        {BATCH "      max_queue_size: 0\n", "max_queue_size: 0 is not from 1 to"},
        {BATCH "      max_export_batch_size: many\n", "max_export_batch_size: a whole number is wanted here, and this is a string"},
        {BATCH "      exprter: {console: }\n",
         "f:5:7: logger_provider.processors[0].batch: 'exprter' is not known here; did you mean 'exporter'?"},
        {HTTP "          endpoint: 4318\n",
         "f:7:21: logger_provider.processors[0].simple.exporter.otlp_http.endpoint: a string is wanted here, and "
                                             "this is a number: put it in quotes"},
        {HTTP "          timeout: -1\n", "otlp_http.timeout: -1 is not from 0"},
        {HTTP "          encoding: xml\n", "'xml' is not known (protobuf and json are)"},
        {HTTP "          compression: zstd\n", "'zstd' is not known (gzip and none are)"},
        {HTTP "          tls: {insecure: true}\n", "otlp_http.tls: 'insecure' is not known here"},
        {HTTP "          tls: {ca_file: ca.pem}\n", "tls.ca_file: 'ca.pem' is not an absolute path"},
        {HTTP "          tls: {key_file: /k.pem}\n", "tls: key_file and cert_file come together, and cert_file is missing"},
        {HTTP "          tls: {cert_file: /k.pem}\n", "and key_file is missing"},
        {HTTP "          headers: {a: b}\n", "headers: a list is wanted here, and this is a map"},
        {HTTP "          headers: [{value: b}]\n", "headers[0]: 'name' is missing"},
        {HTTP "          headers: [{name: b}]\n", "headers[0]: 'value' is missing"},
        {HTTP "          headers: [{name: '', value: b}]\n", "headers[0].name: is empty"},
        {HTTP "          headers: [{name: k, value: 17}]\n",
         "headers[0].value: a string is wanted here, and this is a number: put it in quotes"},
        {HTTP "          headers_list: 'a=b,oops'\n",
         "f:7:25: logger_provider.processors[0].simple.exporter.otlp_http.headers_list: is not a list of"},
        {HTTP "          headers_list: 'a=%zz'\n", "is not a list of name=value"},
        {HTTP "          max_request_size: big\n", "a whole number is wanted"},
        {CONSOLE "  - simple: {exporter: {otlp_grpc: {encoding: json}}}\n", "otlp_grpc: 'encoding' is not known here"},
        {CONSOLE "  - simple: {exporter: {otlp_file/development: {output_stream: stderr}}}\n",
         "otlp_file/development.output_stream: 'stderr' is neither stdout nor file:///path"},
        {CONSOLE "  - simple: {exporter: {otlp_file/development: {output_stream: 'file:///'}}}\n", "is neither stdout"},
        {CONSOLE "  - simple: {exporter: {otlp_file/development: {output_stream: 'file:///a%00b'}}}\n", "is neither stdout"},
        {CONSOLE "  - simple: {exporter: {otlp_file/development: {output_stream: 'file://host/a'}}}\n", "is neither stdout"},
        {CONSOLE "  logger_configurator/development: {loggers: [{name: a}]}\n",
         "logger_configurator/development.loggers[0]: 'config' is missing"},
        {CONSOLE "  logger_configurator/development: {loggers: [{name: a, config: {minimum_severity: loud}}]}\n",
         "loggers[0].config.minimum_severity: 'loud' is not a severity"},
        {CONSOLE "  logger_configurator/development: {default_config: {level: info}}\n",
         "default_config: 'level' is not known here"},
        {RESOURCE "  attributes: [{name: a}]\n", "resource.attributes[0]: 'value' is missing"},
        {RESOURCE "  attributes: [{name: a, value: 1}]\n",
         "f:3:33: resource.attributes[0].value: a string is wanted here, and this is a number: put it"},
        {RESOURCE "  attributes: [{name: a, value: x, type: text}]\n",
         "resource.attributes[0].type: 'text' is not a type (string, bool,"},
        {RESOURCE "  attributes: [{name: a, value: x, type: int}]\n", "a whole number is wanted here, and this is a string"},
        {RESOURCE "  attributes: [{name: a, value: 99999999999999999999, type: int}]\n", "does not fit into 64 bits"},
        {RESOURCE "  attributes: [{name: a, value: 'true', type: bool}]\n", "true or false is wanted here"},
        {RESOURCE "  attributes: [{name: a, value: x, type: double}]\n", "a number is wanted here"},
        {RESOURCE "  attributes: [{name: a, value: [1, x], type: int_array}]\n",
         "resource.attributes[0].value[1]: a whole number is wanted here"},
        {RESOURCE "  attributes: [{name: a, value: 1, type: int_array}]\n", "a list is wanted here"},
        {RESOURCE "  attributes: [{name: a, value: [], type: int_array}]\n", "the list is empty"},
        {RESOURCE "  attributes: [{name: a, value: [a]}]\n", "a string is wanted here, and this is a list"},
        {RESOURCE "  attributes_list: a\n", "resource.attributes_list: is not a list of name=value"},
        {RESOURCE "  detection/development: {detectors: [{heroku: }]}\n",
         "resource.detection/development.detectors[0]: 'heroku' is not known here (there are container, host, os, process and "
         "service)"},
        {RESOURCE "  detection/development: {detectors: [{host: {a: b}}]}\n", "detectors[0].host: has no settings"},
        {RESOURCE "  detection/development: {attributes: {included: [1]}}\n", "attributes.included[0]: a string is wanted here"},
        {RESOURCE "  schema: x\n", "resource: 'schema' is not known here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *c;
        struct err e;
        if (parse(rows[i].text, &c, &e))
            test_fail(__FILE__, __LINE__, "taken: %s", rows[i].text);
        else if (sv_find(sv_of(e.msg), sv_of(rows[i].want)) == SV_NPOS)
            test_fail(__FILE__, __LINE__, "'%s' lacks '%s'", e.msg, rows[i].want);
        CHECK(c == NULL);
        config_free(c);
    }
}

TEST(secrets_are_in_no_message)
{
    static const char *const texts[] = {
        HTTP "          headers: [{name: k, value: [s3cret]}]\n",
        HTTP "          headers: [{name: k, value: {s3cret: 1}}]\n",
        HTTP "          headers_list: 's3cret'\n",
        HTTP "          headers_list: 'a=s3cret%'\n",
        RESOURCE "  attributes: [{name: a, value: s3cret, type: int}]\n",
        RESOURCE "  attributes_list: s3cret\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *c;
        struct err e;
        CHECK(!parse(texts[i], &c, &e));
        CHECK(sv_find(sv_of(e.msg), SV("s3cret")) == SV_NPOS);
    }
}

TEST(what_the_file_leaves_out_has_the_defaults_of_the_data_model)
{
    struct config *c;
    struct err e;
    REQUIRE_OK(parse("file_format: 1.0\n", &c, &e), &e);
    CHECK(!c->disabled && c->log_level == LOG_LEVEL_INFO && c->n_processors == 0 && !c->rules && !c->notes);
    CHECK(c->limits.count == -1 && c->limits.length == -1 && c->limits.depth == -1);
    config_free(c);
    REQUIRE_OK(parse("file_format: \"1.1-rc.1\"\ndisabled:\nlog_level:\nattribute_limits:\nresource:\n  attributes:\n  schema_url:\n"
                     "logger_provider:\n  limits:\n  logger_configurator/development:\n  processors:\n  - batch:\n"
                     "      schedule_delay:\n"
                     "      exporter:\n        otlp_http:\n  - batch: {max_queue_size: 100, exporter: {otlp_grpc: {timeout: , "
                     "tls: , headers: }}}\n",
                     &c, &e), &e);
    REQUIRE(c->n_processors == 2);
    const struct config_processor *p = c->processors;
    CHECK(p[0].batch && p[0].schedule_delay_ms == 1000 && p[0].export_timeout_ms == 30000);
    CHECK(p[0].max_queue_size == 2048 && p[0].max_export_batch_size == 512);
    CHECK(p[0].exporter.kind == CONFIG_OTLP && p[0].exporter.otlp.protocol == WEIR_OTLP_HTTP_PROTOBUF);
    CHECK(!p[0].exporter.otlp.endpoint && p[0].exporter.otlp.timeout_ms == 10000 && !p[0].exporter.otlp.compression);
    CHECK_STR(p[0].exporter.where, "f:15:9: logger_provider.processors[0].batch.exporter.otlp_http");
    CHECK(p[1].max_export_batch_size == 100 && p[1].exporter.otlp.protocol == WEIR_OTLP_GRPC && p[1].exporter.otlp.insecure < 0);
    config_free(c);
}

static const char everything[] =
    "file_format: \"1.1\"\n"
    "log_level: debug3\n"
    "attribute_limits: {attribute_value_length_limit: 2048, attribute_value_depth_limit: 32, attribute_count_limit: 64}\n"
    "propagator: {composite: [tracecontext: , baggage: ]}\n"
    "tracer_provider: {whatever: [it, says]}\n"
    "meter_provider: \n"
    "instrumentation/development: {general: {}}\n"
    "distribution: {other: {a: 1}}\n"
    "x-shared: &tls {ca_file: /ca.pem, key_file: /key.pem, cert_file: /cert.pem}\n"
    "resource:\n"
    "  attributes:\n"
    "  - name: string_key\n    value: ${STRING_VALUE}\n    type: string\n"
    "  - name: bool_key\n    value: ${BOOL_VALUE}\n    type: bool\n"
    "  - name: int_key\n    value: ${HEX_VALUE}\n    type: int\n"
    "  - {name: double_key, value: 1, type: double}\n"
    "  - {name: strings, value: [a, '2'], type: string_array}\n"
    "  - {name: bools, value: [true, false], type: bool_array}\n"
    "  - {name: ints, value: [1, 0x10], type: int_array}\n"
    "  - {name: doubles, value: [1.5, 2], type: double_array}\n"
    "  - name: nothing\n    value: ${UNDEFINED}\n    type: int\n"
    "  attributes_list: ' service.namespace=ns ,v=a%2Cb'\n"
    "  schema_url: https://opentelemetry.io/schemas/1.16.0\n"
    "  detection/development:\n"
    "    attributes: {included: [process.*], excluded: [process.command_args]}\n"
    "    detectors: [container: , host: , process: {}, service: ]\n"
    "logger_provider:\n"
    "  limits: {attribute_count_limit: 0}\n"
    "  logger_configurator/development:\n"
    "    default_config: {enabled: false}\n"
    "    loggers:\n"
    "    - {name: a.*, config: {minimum_severity: warn2, trace_based: true}}\n"
    "    - {name: a.b, config: {enabled: false}}\n"
    "  processors:\n"
    "  - batch: {schedule_delay: 0, export_timeout: 0, max_queue_size: 10, max_export_batch_size: 5, exporter: {otlp_http: {\n"
    "      endpoint: 'http://h:1/p', tls: *tls, headers: [{name: a b, value: 'x,\xc3\xa4'}, {name: gone, value: }, {name: "
    "API, value: '1'}],\n"
    "      headers_list: 'api=2,c=3', compression: gzip, timeout: 0, encoding: json, max_request_size: 1000, "
    "max_response_size: 4194304}}}\n"
    "  - simple: {exporter: {otlp_grpc: {endpoint: 'h:1', tls: {insecure: true}, max_response_size: 100}}}\n"
    "  - simple: {exporter: {otlp_file/development: {output_stream: 'file:///a%20b/c.jsonl'}}}\n"
    "  - simple: {exporter: {otlp_file/development: }}\n"
    "  - simple: {exporter: {console: {}}}\n";

static void check_array(const weir_attr *a, const char *name, weir_kind kind, size_t n)
{
    CHECK_SV(sv_make(a->key.data, a->key.size), sv_of(name));
    CHECK(a->value.kind == WEIR_ARRAY && a->value.as.array.size == n && a->value.as.array.data[n - 1].kind == kind);
}

TEST(everything_is_read)
{
    struct config *c;
    struct err e;
    REQUIRE_OK(parse(everything, &c, &e), &e);
    CHECK(c->log_level == LOG_LEVEL_DEBUG && c->limits.length == 2048 && c->limits.depth == 32 && c->limits.count == 64);
    CHECK(c->log_limits.count == 0 && c->log_limits.length == -1);
    const weir_attr *a = c->resource.attributes.at;
    REQUIRE(c->resource.attributes.n == 8);
    CHECK(a[0].value.kind == WEIR_STRING && a[1].value.kind == WEIR_BOOL && a[1].value.as.boolean);
    CHECK(a[2].value.kind == WEIR_INT && a[2].value.as.integer == 3735928559);
    CHECK(a[3].value.kind == WEIR_DOUBLE && a[3].value.as.number == 1);
    check_array(&a[4], "strings", WEIR_STRING, 2);
    check_array(&a[5], "bools", WEIR_BOOL, 2);
    check_array(&a[6], "ints", WEIR_INT, 2);
    check_array(&a[7], "doubles", WEIR_DOUBLE, 2);
    CHECK(a[6].value.as.array.data[1].as.integer == 16 && a[7].value.as.array.data[1].as.number == 2);
    REQUIRE(c->resource.list.n == 2);
    CHECK_SV(sv_make(c->resource.list.at[1].value.as.string.data, 3), SV("a,b"));
    CHECK(c->resource.detectors.n == 4 && c->resource.included.n == 1 && c->resource.excluded.n == 1);
    CHECK_STR(c->resource.detectors.at[1], "host,os");
    CHECK(c->rules && !c->rules->otherwise.enabled && c->rules->n == 2 && c->rules->at[0].config.enabled);
    CHECK(c->rules->at[0].config.minimum_severity == 14 && c->rules->at[0].config.trace_based && !c->rules->at[1].config.enabled);
    REQUIRE(c->n_processors == 5);
    const struct config_processor *p = c->processors;
    CHECK(p[0].schedule_delay_ms == 0 && p[0].export_timeout_ms == 0 && p[0].max_queue_size == 10 && p[0].max_export_batch_size == 5);
    CHECK(p[0].exporter.otlp.protocol == WEIR_OTLP_HTTP_JSON && p[0].exporter.otlp.timeout_ms == INT32_MAX);
    CHECK(p[0].exporter.max_request_bytes == 1000);
    CHECK_STR(p[0].exporter.otlp.headers, "%63=%33,%61%20%62=%78%2c%c3%a4,%41%50%49=%31");
    CHECK_STR(p[0].exporter.otlp.client_key, "/key.pem");
    CHECK(!p[1].batch && p[1].exporter.otlp.insecure > 0 && p[1].exporter.otlp.protocol == WEIR_OTLP_GRPC);
    CHECK_STR(p[2].exporter.path, "/a b/c.jsonl");
    CHECK(p[3].exporter.kind == CONFIG_OTLP_FILE && !p[3].exporter.path && p[4].exporter.kind == CONFIG_CONSOLE);
    size_t warnings = 0, debug = 0;
    for (const struct config_note *n = c->notes; n; n = n->next) {
        warnings += n->level == LOG_LEVEL_WARN;
        debug += n->level == LOG_LEVEL_DEBUG;
    }
    CHECK_EQ(debug, 4);    /* other signals with something in them */
    CHECK_EQ(warnings, 2); /* x-shared, max_response_size */
    config_free(c);
}

TEST(json_is_yaml)
{
    struct config *c;
    struct err e;
    REQUIRE_OK(parse("{\"file_format\": \"1.0\", \"logger_provider\": {\"processors\": [{\"batch\": {\"schedule_delay\": 7,\n"
                     "\"exporter\": {\"otlp_http\": {\"endpoint\": \"http://${STRING_VALUE}:4318/v1/logs\"}}}}]}}", &c, &e), &e);
    CHECK(c->processors[0].schedule_delay_ms == 7);
    CHECK_STR(c->processors[0].exporter.otlp.endpoint, "http://value:4318/v1/logs");
    config_free(c);
}

TEST(newer_and_unknown_things_are_noted)
{
    struct config *c;
    struct err e;
    REQUIRE_OK(parse("file_format: \"1.7\"\nlogger_providr: {a: b}\n", &c, &e), &e);
    REQUIRE(c->notes && c->notes->next && !c->notes->next->next);
    CHECK(strstr(c->notes->text, "f:1:14: file_format 1.7 is newer than 1.1") != NULL);
    CHECK(strstr(c->notes->next->text, "f:2:1: 'logger_providr' is not known here; did you mean 'logger_provider'?") != NULL);
    CHECK(strstr(c->notes->next->text, "): ignored") != NULL);
    config_free(c);
}

TEST(files_that_mean_harm_are_refused)
{
    struct config *c;
    struct err e;
    SCOPED(buf_done) struct buf b = {0};
    buf_fmt(&b, "%s", "file_format: \"1.0\"\nlogger_provider: {processors: [");
    for (int i = 0; i < 33; i++)
        buf_fmt(&b, "{simple: {exporter: {console: }}},");
    buf_put(&b, "]}\n", 4);
    CHECK(!parse(b.p, &c, &e));
    CHECK_ERR(&e, ERR_INVALID, "logger_provider.processors: more than 32 entries");
    buf_reset(&b);
    buf_fmt(&b, "file_format: \"1.0\"\nresource: {attributes: [");
    for (int i = 0; i < 1001; i++)
        buf_fmt(&b, "{name: a%d, value: b},", i);
    buf_put(&b, "]}\n", 4);
    CHECK(!parse(b.p, &c, &e));
    CHECK_ERR(&e, ERR_INVALID, "resource.attributes: more than 1000 entries");
    buf_reset(&b);
    buf_fmt(&b, "file_format: \"1.0\"\nx: ");
    for (int i = 0; i < 70; i++)
        buf_char(&b, '[');
    buf_char(&b, 0);
    CHECK(!parse(b.p, &c, &e));
    CHECK_ERR(&e, ERR_LIMIT, "nested deeper than 64");
    buf_reset(&b);
    buf_fmt(&b, "file_format: \"1.0\"\na0: &a0 [x, x]\n");
    for (int i = 1; i < 30; i++)
        buf_fmt(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    buf_char(&b, 0);
    CHECK(!parse(b.p, &c, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
    buf_reset(&b);
    while (b.n <= CONFIG_MAX_BYTES)
        buf_fmt(&b, "# a comment of some length\n");
    CHECK(!config_parse(buf_view(&b), "f", fake_env, &c, &e));
    CHECK_ERR(&e, ERR_LIMIT, "f: larger than 1 MiB");
}

TEST(a_long_path_leaves_room_for_what_is_wrong)
{
    struct config *c;
    struct err e = {0};
    char path[4000];
    memset(path, 'd', sizeof path);
    snprintf(path + sizeof path - 20, 20, "/etc/otel.yaml");
    CHECK(!config_parse(SV("file_format: \"9.0\""), path, fake_env, &c, &e));
    CHECK_ERR(&e, ERR_INVALID, "ddd/etc/otel.yaml:1:14: file_format: version 9.0 is not read here");
    CHECK(!config_parse(SV("a: ]"), path, fake_env, &c, &e));
    CHECK_ERR(&e, ERR_PARSE, "/etc/otel.yaml:1:");
}

TEST(without_libfyaml_the_message_says_what_to_install)
{
    struct config *c;
    struct err e;
    yaml_library_for_test("libnothere.so.0");
    CHECK(!parse("file_format: \"1.0\"", &c, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "f: reading YAML needs libfyaml, and there is no libnothere.so.0 here: install it (Debian, "
                                     "Ubuntu: apt install libfyaml0");
    yaml_library_for_test("libc.so.6");
    CHECK(!parse("file_format: \"1.0\"", &c, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "libc.so.6 is none that is known here");
    yaml_library_for_test(NULL);
}

/* ---- what comes of it ---- */

static weir_provider *made(const char *text, struct config **c)
{
    struct err e = {0};
    weir_provider *p = NULL;
    CHECK_OK(parse(text, c, &e) && config_create(*c, NULL, &p, &e), &e);
    return p;
}

static const weir_attr *attr_of(const weir_resource *r, const char *key)
{
    size_t n;
    const weir_attr *a = weir_resource_attributes(r, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(sv_make(a[i].key.data, a[i].key.size), sv_of(key)))
            return &a[i];
    return NULL;
}

static sv text_attr(const weir_provider *p, const char *key)
{
    const weir_attr *a = attr_of(p->resource, key);
    return a && a->value.kind == WEIR_STRING ? sv_make(a->value.as.string.data, a->value.as.string.size) : SV("(none)");
}

TEST(limits_of_logs_win_over_general_ones_and_over_the_environment)
{
    struct config *c;
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "5", 1);
    setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "6", 1);
    weir_provider *p = made(CONSOLE, &c);
    REQUIRE(p);
    CHECK(p->limits.count == 128 && p->limits.length == INT64_MAX && p->limits.depth == DEPTH_SAFE);
    weir_provider_free(p);
    config_free(c);
    p = made(CONSOLE "  limits: {attribute_count_limit: 0, attribute_value_length_limit: 0}\nattribute_limits: {attribute_count_limit: 9, "
             "attribute_value_depth_limit: 100}\n", &c);
    REQUIRE(p);
    CHECK(p->limits.count == 0 && p->limits.length == 0 && p->limits.depth == 64);
    weir_provider_free(p);
    config_free(c);
    unsetenv("OTEL_ATTRIBUTE_COUNT_LIMIT");
    unsetenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT");
    weir_provider *plain = weir_provider_new(NULL, NULL, 0, NULL); /* the variables count again */
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "5", 1);
    weir_provider *again = weir_provider_new(NULL, NULL, 0, NULL);
    REQUIRE(plain && again);
    CHECK(plain->limits.count == 128 && again->limits.count == 5);
    unsetenv("OTEL_ATTRIBUTE_COUNT_LIMIT");
    weir_provider_free(plain);
    weir_provider_free(again);
}

TEST(the_resource_is_what_the_file_says)
{
    struct config *c;
    setenv("OTEL_SERVICE_NAME", "of-the-environment", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "leaked=1", 1);
    setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "all", 1);
    weir_provider *p = made("file_format: \"1.0\"\n", &c);
    REQUIRE(p);
    CHECK(sv_starts(text_attr(p, "service.name"), SV("unknown_service")));
    CHECK(!attr_of(p->resource, "leaked") && !attr_of(p->resource, "process.pid"));
    CHECK_SV(text_attr(p, "telemetry.sdk.name"), SV("weir"));
    weir_provider_free(p);
    config_free(c);
    p = made(RESOURCE "  attributes: [{name: a, value: of-attributes}]\n  attributes_list: 'a=of-list,b=of-list,os.type=mine'\n"
             "  schema_url: http://s\n  detection/development:\n"
             "    attributes: {included: [process.*, 'o?.*', service.name], excluded: ['*.command*']}\n"
             "    detectors: [process: , host: , service: ]\n", &c);
    REQUIRE(p);
    CHECK_SV(text_attr(p, "a"), SV("of-attributes"));
    CHECK_SV(text_attr(p, "b"), SV("of-list"));
    CHECK_SV(text_attr(p, "os.type"), SV("mine"));
    CHECK_SV(text_attr(p, "service.name"), SV("of-the-environment")); /* what this detector is for */
    CHECK(attr_of(p->resource, "process.pid") && !attr_of(p->resource, "process.command_args") && !attr_of(p->resource, "host.name"));
    CHECK(p->resource->pid == getpid()); /* still known as detected: a forked child has another */
    CHECK_STR(weir_resource_schema_url(p->resource), "http://s");
    weir_provider_free(p);
    struct err e = {0};
    p = NULL;
    CHECK_OK(config_create(c, "of-the-program", &p, &e), &e);
    REQUIRE(p);
    CHECK_SV(text_attr(p, "service.name"), SV("of-the-program"));
    weir_provider_free(p);
    config_free(c);
    unsetenv("OTEL_SERVICE_NAME");
    unsetenv("OTEL_RESOURCE_ATTRIBUTES");
    unsetenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS");
}

TEST(the_first_rule_that_matches_a_logger_counts)
{
    struct config *c;
    weir_provider *p = made(CONSOLE "  logger_configurator/development:\n    default_config: {minimum_severity: error}\n    loggers:\n"
                            "    - {name: db.pool, config: {minimum_severity: debug}}\n"
                            "    - {name: db.*, config: {enabled: false}}\n"
                            "    - {name: '*', config: {trace_based: true}}\n    - {name: web, config: {enabled: false}}\n", &c);
    REQUIRE(p);
    weir_logger *pool = weir_provider_logger(p, "db.pool", NULL, NULL, NULL, 0);
    weir_logger *db = weir_provider_logger(p, "db.x", NULL, NULL, NULL, 0);
    weir_logger *web = weir_provider_logger(p, "web", NULL, NULL, NULL, 0);
    CHECK(weir_logger_enabled(pool, 5, NULL) && !weir_logger_enabled(pool, 4, NULL) && !weir_logger_enabled(db, 24, NULL));
    CHECK(weir_logger_enabled(web, 1, NULL) && (atomic_load(&web->gate) & GATE_TRACE_BASED));
    weir_provider_free(p);
    config_free(c);
    p = made(CONSOLE "  logger_configurator/development:\n    default_config: {minimum_severity: error}\n", &c);
    REQUIRE(p);
    web = weir_provider_logger(p, "web", NULL, NULL, NULL, 0);
    CHECK(!weir_logger_enabled(web, 16, NULL) && weir_logger_enabled(web, 17, NULL) && weir_logger_enabled(web, 0, NULL));
    weir_provider_free(p);
    config_free(c);
}

TEST(an_exporter_that_cannot_be_made_is_named_with_its_place)
{
    struct config *c;
    struct err e;
    weir_provider *p = NULL;
    REQUIRE_OK(parse(CONSOLE "  - batch: {exporter: {otlp_grpc: {endpoint: 'ftp://h:1'}}}\n", &c, &e), &e);
    CHECK(!config_create(c, NULL, &p, &e) && !p);
    CHECK_ERR(&e, ERR_INVALID, "f:5:24: logger_provider.processors[1].batch.exporter.otlp_grpc: OTLP exporter: endpoint: "
                                 "'ftp://h:1' begins with neither");
    config_free(c);
    REQUIRE_OK(parse(CONSOLE "  - simple: {exporter: {otlp_file/development: {output_stream: 'file:///nowhere/at/all'}}}\n", &c, &e), &e);
    CHECK(!config_create(c, NULL, &p, &e) && !p);
    CHECK_ERR(&e, ERR_INVALID, "f:5:25: logger_provider.processors[1].simple.exporter.otlp_file/development: ");
    CHECK(strstr(e.msg, "No such file") != NULL);
    config_free(c);
}

/* ---- starting ---- */

static void write_config(char path[200], const char *text)
{
    struct err e = {0};
    int dir;
    snprintf(path, 200, "%s/otel.yaml", test_dir());
    REQUIRE_OK(io_open_dir(test_dir(), &dir, &e), &e);
    CHECK_OK(io_replace_file(dir, "otel.yaml", sv_of(text), &e), &e);
    io_close(dir);
}

/* What is on the standard error meanwhile. */
struct capture {
    int was, fd;
    char path[200];
};
static void capture_begin(struct capture *k)
{
    snprintf(k->path, sizeof k->path, "%s/stderr", test_dir());
    k->fd = open(k->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    k->was = dup(STDERR_FILENO);
    dup2(k->fd, STDERR_FILENO);
}
static void capture_end(struct capture *k, struct buf *got)
{
    struct err e = {0};
    dup2(k->was, STDERR_FILENO);
    close(k->was);
    close(k->fd);
    CHECK_OK(io_read_file(AT_FDCWD, k->path, got, &e), &e);
}

static size_t occurs(const struct buf *b, const char *what)
{
    size_t n = 0;
    for (sv rest = buf_view(b); sv_find(rest, sv_of(what)) != SV_NPOS; n++)
        rest = sv_from(rest, sv_find(rest, sv_of(what)) + 1);
    return n;
}

TEST(a_program_is_set_up_by_the_file)
{
    struct peer peer;
    char path[200], room[64];
    weir_error e = {""};
    SCOPED(buf_done) struct buf text = {0};
    REQUIRE(peer_open(&peer));
    buf_fmt(&text, "file_format: \"1.0\"\nresource:\n  attributes:\n  - name: service.instance.id\n    value: ${WEIR_TEST_ID:-none}\n"
                   "logger_provider:\n  processors:\n  - batch:\n      schedule_delay: 10\n      exporter:\n        otlp_http:\n"
                   "          endpoint: ${WEIR_TEST_ENDPOINT}\n          headers: [{name: X-Key, value: 'se,cret'}]\n"
                   "          compression: gzip\n"
                   "  - simple:\n      exporter:\n        otlp_grpc:\n          endpoint: %s\n"
                   "  logger_configurator/development:\n    loggers:\n    - name: noisy.*\n      config: {enabled: false}\n%c",
            peer.grpc_url, 0);
    write_config(path, text.p);
    setenv("WEIR_TEST_ENDPOINT", peer.http_url, 1);
    setenv("WEIR_TEST_ID", "instance-7", 1);
    setenv("OTEL_CONFIG_FILE", path, 1);
    setenv("OTEL_SDK_DISABLED", "true", 1); /* none of these counts */
    setenv("OTEL_LOGS_EXPORTER", "none", 1);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://nowhere", 1);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=wrong", 1);
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke", 1);
    weir_provider *p = weir_start("shop", &e);
    if (!p)
        test_fail(__FILE__, __LINE__, "%s", e.message);
    REQUIRE(p);
    CHECK(weir_provider_global() == p);
    CHECK_SV(text_attr(p, "service.name"), SV("shop"));
    weir_info(weir_logger_get("noisy.one"), "unheard");
    weir_info(weir_logger_get("t"), "heard");
    CHECK_SOON(peer.records == 2, 20000); /* once each way */
    weir_info(weir_logger_get("t"), "heard again");
    CHECK_SOON(peer.records == 4, 20000);
    CHECK_EQ(weir_stop(20000), WEIR_OK);
    CHECK_STR(seen(&peer, peer.instance, room), "instance-7");
    CHECK(stats(p).exported == 4 && stats(p).emitted == 2);
    peer_close(&peer);
    unsetenv("OTEL_CONFIG_FILE");
    unsetenv("OTEL_SDK_DISABLED");
    unsetenv("OTEL_LOGS_EXPORTER");
    unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
    unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
    unsetenv("OTEL_EXPORTER_OTLP_PROTOCOL");
}

TEST(headers_of_the_file_are_sent)
{
    struct peer peer;
    char path[200], room[64];
    weir_error e = {""};
    SCOPED(buf_done) struct buf text = {0};
    REQUIRE(peer_open(&peer));
    buf_fmt(&text, "{file_format: \"1.0\", logger_provider: {processors: [{simple: {exporter: {otlp_http: {endpoint: \"%s\", encoding: json, \n"
                   "headers: [{name: X-Key, value: \"a, b=%%20\"}], headers_list: \"x-key=lost\"}}}}]}}%c", peer.http_url, 0);
    write_config(path, text.p);
    REQUIRE(weir_start_from_file(path, NULL, &e));
    weir_info(weir_logger_get("t"), "hello");
    CHECK_EQ(peer.records, 1);
    CHECK_STR(seen(&peer, peer.header, room), "a, b=%20");
    CHECK_EQ(weir_stop(20000), WEIR_OK);
    peer_close(&peer);
}

TEST(a_file_can_switch_all_off)
{
    char path[200];
    weir_error e = {""};
    write_config(path, CONSOLE "disabled: true\n");
    weir_provider *p = weir_start_from_file(path, NULL, &e);
    REQUIRE(p);
    CHECK(p->n_processors == 0 && !weir_logger_enabled(weir_logger_get("t"), 24, NULL));
    CHECK_EQ(weir_stop(1000), WEIR_OK);
}

TEST(a_file_that_cannot_be_used_starts_nothing_and_is_said_once)
{
    static const struct {
        const char *text, *want; /* text NULL: no file */
    } rows[] = {
        {NULL, "otel.yaml': No such file or directory"},
        {"file_format: \"1.0\"\nlogger_provider: ]\n", "otel.yaml:2:18: "},
        {"file_format: \"3.0\"\n", "otel.yaml:1:14: file_format: version 3.0 is not read here"},
        {CONSOLE "  - batch: {exporter: {otlp_http: {endpoint: nonsense}}}\n", "endpoint: 'nonsense' begins with neither"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[200];
        weir_error e = {""};
        struct capture k;
        SCOPED(buf_done) struct buf got = {0};
        write_config(path, rows[i].text ? rows[i].text : "");
        if (!rows[i].text)
            unlink(path);
        setenv("OTEL_CONFIG_FILE", path, 1);
        capture_begin(&k);
        weir_provider *p = weir_start("shop", &e);
        bool quiet = weir_start("shop", NULL) == NULL; /* without a place for the reason */
        capture_end(&k, &got);
        unsetenv("OTEL_CONFIG_FILE");
        CHECK(!p && quiet && !weir_provider_global());
        CHECK(sv_starts(sv_of(e.message), SV("OTEL_CONFIG_FILE: ")));
        if (!strstr(e.message, rows[i].want))
            test_fail(__FILE__, __LINE__, "'%s' lacks '%s'", e.message, rows[i].want);
        CHECK_EQ(occurs(&got, rows[i].want), 2);
        CHECK_EQ(occurs(&got, "(nothing is logged through OpenTelemetry until the file is right, or without OTEL_CONFIG_FILE)"), 2);
    }
    setenv("OTEL_LOGS_EXPORTER", "none", 1); /* and the next start is as if nothing had been */
    CHECK(weir_start(NULL, NULL) != NULL);
    CHECK_EQ(weir_stop(1000), WEIR_OK);
    unsetenv("OTEL_LOGS_EXPORTER");
}

TEST(the_program_names_a_file_itself)
{
    weir_error e = {""};
    struct capture k;
    SCOPED(buf_done) struct buf got = {0};
    capture_begin(&k);
    CHECK(!weir_start_from_file(NULL, NULL, &e));
    CHECK(!weir_start_from_file("/nowhere/otel.yaml", NULL, &e));
    capture_end(&k, &got);
    CHECK(strstr(e.message, "'/nowhere/otel.yaml': No such file") != NULL);
    CHECK_EQ(occurs(&got, "until the file is right)"), 2);
    CHECK_EQ(occurs(&got, "OTEL_CONFIG_FILE"), 0);
}

TEST(the_old_name_of_the_variable_is_taken_with_a_warning)
{
    char path[200];
    weir_error e = {""};
    struct capture k;
    SCOPED(buf_done) struct buf got = {0};
    write_config(path, "file_format: \"1.0\"\nlog_level: error\nx: 1\n");
    setenv("OTEL_EXPERIMENTAL_CONFIG_FILE", path, 1);
    capture_begin(&k);
    for (int i = 0; i < 2; i++) {
        log_set_level(LOG_LEVEL_INFO);
        CHECK(weir_start(NULL, &e) != NULL);
        CHECK(!log_enabled(LOG_LEVEL_WARN)); /* before the note about x is said */
        CHECK_EQ(weir_stop(1000), WEIR_OK);
    }
    setenv("OTEL_CONFIG_FILE", "/nowhere", 1);
    CHECK(weir_start(NULL, &e) == NULL); /* the new one wins */
    capture_end(&k, &got);
    log_set_level(LOG_LEVEL_INFO);
    CHECK_EQ(occurs(&got, "OTEL_EXPERIMENTAL_CONFIG_FILE is the old name of OTEL_CONFIG_FILE: taken as that"), 1);
    CHECK_EQ(occurs(&got, "'x' is not known"), 0);
    unsetenv("OTEL_EXPERIMENTAL_CONFIG_FILE");
    unsetenv("OTEL_CONFIG_FILE");
}
