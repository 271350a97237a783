// Dark or light: the system's wish, unless the person chose otherwise here.
import { computed, effect, signal } from "@preact/signals";

type Theme = "dark" | "light";
const KEY = "weir.theme";
const media = matchMedia("(prefers-color-scheme: dark)");
const system = signal<Theme>(media.matches ? "dark" : "light");
const chosen = signal<Theme | null>(stored());

export const theme = computed<Theme>(() => chosen.value ?? system.value);

function stored(): Theme | null {
  try {
    const v = localStorage.getItem(KEY);
    return v === "dark" || v === "light" ? v : null;
  } catch {
    return null;
  }
}

export function toggleTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  // Back at the system's own colours, follow the system again.
  chosen.value = next === system.value ? null : next;
  try {
    if (chosen.value) localStorage.setItem(KEY, chosen.value);
    else localStorage.removeItem(KEY);
  } catch {
    // Private windows may refuse storage; the choice then lasts as long as the page.
  }
}

media.addEventListener("change", (e) => (system.value = e.matches ? "dark" : "light"));
effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});

/** The value of a CSS colour variable, for canvases. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** `share` of the second colour in the first; both as #rrggbb. */
export function mix(a: string, b: string, share: number): string {
  const part = (c: string, i: number) => parseInt(c.slice(1 + 2 * i, 3 + 2 * i), 16);
  const rgb = [0, 1, 2].map((i) => Math.round(part(a, i) * (1 - share) + part(b, i) * share));
  return `rgb(${rgb.join(" ")})`;
}
