// Laying JSON out over several lines without reading it into values: numbers keep all their digits, keys their
// order and their doubles.

export type TokenKind = "key" | "string" | "plain" | "mark";

export interface Token {
  kind: TokenKind;
  text: string;
}

/** The line as an object or array in indented tokens; null if it is not JSON. */
export function prettyJson(line: string): Token[] | null {
  const text = line.trim();
  if (!/^[{[]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const raw = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  const out: Token[] = [];
  let depth = 0;
  const newline = () => "\n" + "  ".repeat(depth);
  raw.forEach((t, i) => {
    const next = raw[i + 1];
    if (t === "{" || t === "[") {
      depth++;
      out.push({ kind: "mark", text: next === "}" || next === "]" ? t : t + newline() });
    } else if (t === "}" || t === "]") {
      depth--;
      const before = raw[i - 1];
      out.push({ kind: "mark", text: before === "{" || before === "[" ? t : newline() + t });
    } else if (t === ",") {
      out.push({ kind: "mark", text: t + newline() });
    } else if (t === ":") {
      out.push({ kind: "mark", text: ": " });
    } else if (!t.startsWith('"')) {
      out.push({ kind: "plain", text: t });
    } else if (next === ":") {
      out.push({ kind: "key", text: t });
    } else {
      out.push({ kind: "string", text: unfold(t, newline()) });
    }
  });
  return out;
}

/** A text with line breaks, such as a stack trace, is easier to read with real ones. */
function unfold(literal: string, newline: string): string {
  return literal.replace(/\\(.)/g, (all, c: string) => (c === "n" ? newline : c === "t" ? "    " : all));
}
