// Numbers for people.

export function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** 1234 -> 1.23k */
export function short(n: number): string {
  const a = Math.abs(n);
  if (!Number.isFinite(n)) return String(n);
  if (a >= 1e9) return trim(n / 1e9) + "G";
  if (a >= 1e6) return trim(n / 1e6) + "M";
  if (a >= 1e4) return trim(n / 1e3) + "k";
  if (a !== 0 && a < 1e-3) return n.toExponential(1);
  return trim(n);
}

function trim(n: number): string {
  return String(Number(n.toPrecision(3)) || 0).length > 6 ? n.toFixed(2) : String(Number(n.toPrecision(Math.abs(n) >= 1000 ? 4 : 3)));
}

export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i] ?? "B"}`;
}

export function seconds(s: number): string {
  return s < 1 ? `${Math.max(1, Math.round(s * 1000))} ms` : `${s.toFixed(1)} s`;
}
