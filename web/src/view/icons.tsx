// The drawings of the page: strokes on a 16 x 16 grid in the colour of the text around them.
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5"
      stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      {children}
    </svg>
  );
}

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" fill="#0f6f86" />
    <g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round">
      <path d="M5 11h8c4.5 0 4.5 10 9 10h5" />
      <path d="M5 16h5.5c3.5 0 4 9.5 8.5 9.5h8" opacity=".65" />
    </g>
  </svg>
);
export const Sun = () => (
  <Icon><circle cx="8" cy="8" r="3" /><path d="M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1" /></Icon>
);
export const Moon = () => <Icon><path d="M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z" /></Icon>;
export const Link = () => (
  <Icon><path d="M6.5 9.5 9.5 6.5M7 4.5l1.5-1.5a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5 7.5 13A3 3 0 0 1 3 8.5L4.5 7" /></Icon>
);
export const Clock = () => <Icon><circle cx="8" cy="8" r="6.25" /><path d="M8 4.5V8l2.5 1.5" /></Icon>;
export const Chevron = () => <Icon><path d="m4 6 4 4 4-4" /></Icon>;
export const Right = () => <Icon><path d="m6 4 4 4-4 4" /></Icon>;
export const Play = () => <Icon><path d="M4.5 3v10l8-5Z" fill="currentColor" /></Icon>;
export const Plus = () => <Icon><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3.5 3.5M7 5v4M5 7h4" /></Icon>;
export const Minus = () => <Icon><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3.5 3.5M5 7h4" /></Icon>;
export const Copy = () => <Icon><rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 3.5v-1h-8v8h1" /></Icon>;
export const Check = () => <Icon><path d="m3 8.5 3.5 3.5L13 4.5" /></Icon>;
export const Cross = () => <Icon><path d="m4 4 8 8M12 4l-8 8" /></Icon>;
export const Tags = () => <Icon><path d="M2 3.5h12M4 8h8M6 12.5h4" /></Icon>;
export const Wrap = () => <Icon><path d="M2 3.5h12M2 8h9.5a2.25 2.25 0 0 1 0 4.5H8.5M10 11l-1.5 1.5L10 14M2 12.5h3" /></Icon>;
export const Down = () => <Icon><path d="M8 3v10M4 9l4 4 4-4" /></Icon>;
export const Up = () => <Icon><path d="M8 13V3M4 7l4-4 4 4" /></Icon>;
