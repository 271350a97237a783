// Small pieces several views use.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Check, Copy } from "./icons";

/** Copies a text; the icon answers that it did. */
export function CopyButton({ text, title, children }: { text: () => string; title: string; children?: ComponentChildren }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const t = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(t);
  }, [done]);
  return (
    <button type="button" class={children ? "button" : "icon-button"} title={title} aria-label={title}
      onClick={() => void copyText(text()).then(setDone)}>
      {done ? <Check /> : <Copy />}
      {children && <span>{done ? "Copied" : children}</span>}
    </button>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS the clipboard API is missing; a selected text field still works.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const ok = document.execCommand("copy");
    area.remove();
    return ok;
  }
}

/** A button with a panel under it; Esc and a click elsewhere close it. */
export function Popover({ label, title, panel }: {
  label: ComponentChildren; title: string; panel: (close: () => void) => ComponentChildren;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const away = (e: Event) => {
      if (e.target instanceof Node && !root.current?.contains(e.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
    };
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div class="popover" ref={root} onKeyDown={(e) => {
      if (e.key === "Escape" && open) {
        e.stopPropagation();
        close();
      }
    }}>
      <button type="button" class="button" title={title} aria-expanded={open} aria-haspopup="dialog"
        ref={button} onClick={() => setOpen(!open)}>
        {label}
      </button>
      {open && <div class="popover-panel" role="dialog" aria-label={title}>{panel(close)}</div>}
    </div>
  );
}

/** The width of an element in whole pixels, kept up to date. */
export function useWidth<T extends HTMLElement>(): [{ current: T | null }, number] {
  const ref = useRef<T>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    const watch = new ResizeObserver(() => setWidth(el.clientWidth));
    watch.observe(el);
    return () => watch.disconnect();
  }, []);
  return [ref, width];
}
