// What stands where lines would be when there are none.
import { lastRange, QUICK_RANGES } from "../lib/time";
import { go, page, storeEmpty } from "../state";
import { CopyButton } from "./parts";

export function Empty() {
  return storeEmpty.value ? <NoLogsYet /> : <NoMatch />;
}

export function NotRun() {
  return (
    <section class="empty">
      <h2>This query could not run</h2>
      <p>The message under the query box says why. Press <kbd>/</kbd> to edit it.</p>
    </section>
  );
}

function NoMatch() {
  const { range } = page.value;
  const longer = QUICK_RANGES.filter((q) => {
    const r = lastRange(q.text);
    return r?.kind === "last" && (range.kind === "fixed" || r.ms > range.ms);
  });
  return (
    <section class="empty">
      <h2>Nothing matches in this time range</h2>
      <p>Take a filter away, or look further back.</p>
      <div class="empty-buttons">
        {longer.map((q) => (
          <button type="button" class="button" key={q.text} onClick={() => {
            const r = lastRange(q.text);
            if (r) go({ range: r });
          }}>{q.name}</button>
        ))}
      </div>
    </section>
  );
}

function NoLogsYet() {
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname || "127.0.0.1";
  const http = `http://${host}:4318`;
  const python = `# pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
import logging
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

provider = LoggerProvider(resource=Resource.create({"service.name": "hello"}))
provider.add_log_record_processor(
    BatchLogRecordProcessor(OTLPLogExporter(endpoint="${http}/v1/logs")))
logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))

logging.warning("the water is rising")
provider.shutdown()`;
  return (
    <section class="empty start">
      <h2>No logs yet</h2>
      <p>Send some with any OpenTelemetry SDK or Collector; they appear here by themselves.</p>
      <dl class="endpoints">
        <dt>OTLP / gRPC</dt><dd><code>{`http://${host}:4317`}</code></dd>
        <dt>OTLP / HTTP</dt><dd><code>{http}</code></dd>
      </dl>
      <div class="snippet">
        <div class="snippet-bar"><span>Python</span><CopyButton text={() => python} title="Copy the program">Copy</CopyButton></div>
        <pre>{python}</pre>
      </div>
    </section>
  );
}
