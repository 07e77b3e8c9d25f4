// Acts are registered once, where they are drawn, and feed the palette, the keys and the list of keys (?).
import { useEffect, useRef, useSyncExternalStore } from "react";

export interface Action {
  id: string;
  label: string; // a verb: "Compare 3 runs"
  keys?: string; // "c", "g r", "mod+Enter"; letters count when no field has the focus
  group?: string; // heading in the palette and the list of keys
  hint?: string;
  disabled?: string; // why it cannot be done now
  run: () => void;
}

const actions = new Map<string, { current: Action }>();
const watchers = new Set<() => void>();
let snapshot: readonly Action[] = [];
let scheduled = false;

function changed(): void {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    snapshot = [...actions.values()].map((a) => a.current);
    for (const watch of watchers) watch();
  });
}

export function useAction(action: Action | null): void {
  const held = useRef<Action | null>(action);
  held.current = action;
  const { id, label, keys, disabled } = action ?? { id: "", label: "", keys: "", disabled: "" };
  // biome-ignore lint/correctness/useExhaustiveDependencies: label, keys and disabled are what the lists show
  useEffect(() => {
    if (!id) return;
    const entry = {
      get current() {
        return held.current as Action;
      },
    };
    actions.set(id, entry);
    changed();
    return () => {
      if (actions.get(id) === entry) actions.delete(id);
      changed();
    };
  }, [id, label, keys, disabled]);
}

const watch = (then: () => void) => {
  watchers.add(then);
  return () => watchers.delete(then);
};
export const useActions = (): readonly Action[] => useSyncExternalStore(watch, () => snapshot);

const inField = (node: EventTarget | null) => node instanceof HTMLElement && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName)) && node.getAttribute("type") !== "checkbox";

let chord = "";
let chordTimer: ReturnType<typeof setTimeout> | undefined;
/** The one key listener: single letters, two-letter chords ("g r") and modified keys ("mod+Enter"). */
export function listenForKeys(): () => void {
  function onKey(e: KeyboardEvent): void {
    if (e.defaultPrevented || e.isComposing) return;
    const mod = e.ctrlKey || e.metaKey;
    if (!mod && inField(e.target)) return;
    if (e.altKey || (!mod && [...document.querySelectorAll<HTMLElement>("[role=dialog]")].some((d) => d.checkVisibility()))) return;
    const pressed = mod ? `mod+${e.key}` : e.key;
    const whole = chord ? `${chord} ${pressed}` : pressed;
    const found = snapshot.find((a) => a.keys === whole && !a.disabled);
    clearTimeout(chordTimer);
    chord = "";
    if (found) {
      e.preventDefault();
      found.run();
    } else if (!mod && snapshot.some((a) => a.keys?.startsWith(`${pressed} `))) {
      chord = pressed;
      chordTimer = setTimeout(() => {
        chord = "";
      }, 1200);
    }
  }
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
