// Finding the spot a server's error message speaks about. The server answers in plain text, for instance
//   parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip
// Columns count characters from 1. Line 0 is what Loki says of an error inside a range or a flag.

export interface Span {
  from: number;
  to: number;
}

export interface ParsedError {
  line: number;
  col: number;
  message: string;
}

export function parseErrorText(text: string): ParsedError | null {
  const m = /^parse error at line (\d+), col (\d+): ([\s\S]*)$/.exec(text.trim());
  if (!m) return null;
  return { line: Math.max(1, Number(m[1])), col: Math.max(1, Number(m[2])), message: m[3] ?? "" };
}

/** The characters to underline: the word at the position, or the last one if the text ended too early. */
export function errorSpan(query: string, at: { line: number; col: number }): Span | null {
  if (query.trim() === "") return null;
  const lines = query.split("\n");
  const index = Math.min(at.line, lines.length) - 1;
  const start = lines.slice(0, index).reduce((n, l) => n + l.length + 1, 0);
  const line = lines[index] ?? "";
  const before = [...line].slice(0, at.col - 1).join("");
  const from = start + before.length;
  if (from >= start + line.length) {
    const end = query.trimEnd().length;
    const at = Math.min(from, end);
    return { from: Math.max(0, at - 1), to: Math.max(1, at) };
  }
  const word = /^(?:[A-Za-z_]\w*|[0-9][\w.]*|"(?:[^"\\]|\\.)*"?|`[^`]*`?|\s+|[=!|~<>]{1,2}|[\s\S])/u.exec(query.slice(from));
  return { from, to: from + (word?.[0].length ?? 1) };
}
