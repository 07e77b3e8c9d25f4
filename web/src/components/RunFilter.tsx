// The filter language of runs, as it is typed: names and values are offered, and what is wrong is marked at its character.
import { CloseButton } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useAction } from "../lib/actions";
import { quoteKey, quoteText, usePage } from "../lib/tracking";
import classes from "./RunFilter.module.css";

const WORDS = ["metrics.", "params.", "tags.", "status = 'FINISHED'", "status = 'FAILED'", "status = 'RUNNING'", "run_name LIKE '%", "start_time > ", "AND ", "OR ", "NOT "];

/** What is being typed before the caret: a key of some kind, a quoted value of a key, or a word. */
type Typing = { from: number; kind: "metric" | "param" | "tag"; part: string; key?: string } | { from: number; kind: "word"; part: string };
export function typing(text: string, caret: number): Typing {
  const before = text.slice(0, caret);
  const value = /(params|tags)\.(`[^`]*`|[\w.]+)\s*(?:=|!=|I?LIKE)\s*'([^']*)$/i.exec(before);
  if (value) return { from: caret - (value[3]?.length ?? 0) - 1, kind: value[1] === "params" ? "param" : "tag", key: value[2]?.replaceAll("`", ""), part: value[3] ?? "" };
  const key = /(metrics|params|tags)\.(`[^`]*|[\w.]*)$/.exec(before);
  if (key) return { from: caret - (key[2]?.length ?? 0), kind: key[1] === "metrics" ? "metric" : key[1] === "params" ? "param" : "tag", part: (key[2] ?? "").replace("`", "") };
  const word = /[A-Za-z_]*$/.exec(before)?.[0] ?? "";
  return { from: caret - word.length, kind: "word", part: word };
}

interface Props { value: string; onChange: (value: string) => void; experiments: readonly string[]; error?: { message: string; at: number | null } }

export function RunFilter({ value, onChange, experiments, error }: Props) {
  const [typed, setTyped] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const [scroll, setScroll] = useState(0);
  const sent = useRef(value);
  const input = useRef<HTMLInputElement>(null);
  const moveTo = useRef<number | null>(null); // where the caret goes once the new text is in
  const list = useId();
  useLayoutEffect(() => {
    if (moveTo.current !== null) input.current?.setSelectionRange(moveTo.current, moveTo.current); // before the next key
    moveTo.current = null;
  });
  useEffect(() => {
    if (value !== sent.current) setTyped(value); // changed from elsewhere: Back, a chip
    sent.current = value;
  }, [value]);
  useAction({ id: "filter", label: "Filter runs", keys: "f", group: "Here", run: () => input.current?.focus() });

  const now = typing(typed, caret);
  const exp = { exp: experiments };
  const keys = usePage<{ keys: string[] }>("/runs/keys", { ...exp, kind: now.kind, contains: now.part, limit: "12" }, { enabled: open && now.kind !== "word" && !("key" in now && now.key), keep: true });
  const values = usePage<{ values: string[] }>("/runs/values", { ...exp, kind: now.kind, key: "key" in now ? (now.key ?? "") : "", contains: now.part, limit: "12" }, { enabled: open && "key" in now && !!now.key, keep: true });
  const isValue = "key" in now && !!now.key;
  const offers = !open ? [] : now.kind === "word" ? (now.part || typed === "" ? WORDS.filter((w) => w.toLowerCase().startsWith(now.part.toLowerCase()) && w !== now.part) : []) : isValue ? (values.data?.values ?? []) : (keys.data?.keys ?? []).filter((k) => k !== now.part);

  function send(next: string) {
    sent.current = next;
    setOpen(false);
    setChosen(-1);
    onChange(next.trim());
  }
  function take(offer: string) {
    const insert = now.kind === "word" ? offer : isValue ? `${quoteText(offer)} ` : `${quoteKey(offer)} `;
    const next = typed.slice(0, now.from) + insert + typed.slice(caret).replace(/^'/, "");
    const at = now.from + insert.length;
    moveTo.current = at;
    setTyped(next);
    setCaret(at);
    setChosen(-1);
  }
  function onKeyDown(e: KeyboardEvent<HTMLInputElement>) {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      if (!open) setOpen(true);
      else if (offers.length) setChosen((c) => (c + (e.key === "ArrowDown" ? 1 : -1) + offers.length) % offers.length);
    } else if ((e.key === "Enter" || e.key === "Tab") && chosen >= 0 && offers[chosen] !== undefined) take(offers[chosen] as string);
    else if (e.key === "Enter") send(typed);
    else if (e.key === "Escape") {
      if (open && offers.length) setOpen(false);
      else (document.querySelector<HTMLElement>("[role=grid]") ?? document.body).focus(); // on with the rows
    } else return;
    e.preventDefault();
  }
  const wrong = error && sent.current === typed ? error : undefined;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: leaving any part of it applies what was typed
    <div className={classes.filter} onBlur={(e) => { if (!e.currentTarget.contains(e.relatedTarget)) { setOpen(false); if (typed.trim() !== value) send(typed); } }}>
      <div className={classes.box} data-wrong={wrong ? true : undefined}>
        <IconSearch size={14} aria-hidden />
        <div className={classes.line}>
          <input
            ref={input} className="mono" role="combobox" aria-label="Filter runs" aria-expanded={offers.length > 0} aria-controls={list} aria-autocomplete="list" aria-invalid={wrong ? true : undefined}
            aria-activedescendant={chosen >= 0 ? `${list}-${chosen}` : undefined} aria-describedby={wrong ? `${list}-error` : undefined}
            placeholder="metrics.accuracy > 0.9 AND params.model = 'svm'" spellCheck={false} autoComplete="off" value={typed}
            onChange={(e) => { setTyped(e.currentTarget.value); setCaret(e.currentTarget.selectionStart ?? 0); setOpen(true); setChosen(-1); }}
            onSelect={(e) => setCaret(e.currentTarget.selectionStart ?? 0)} onScroll={(e) => setScroll(e.currentTarget.scrollLeft)} onFocus={() => setOpen(true)} onKeyDown={onKeyDown}
          />
          {wrong && wrong.at !== null && <span className={classes.mark} style={{ left: `calc(${wrong.at}ch - ${scroll}px)` }} aria-hidden />}
        </div>
        {typed && <CloseButton size="xs" aria-label="Clear the filter" onClick={() => { setTyped(""); send(""); input.current?.focus(); }} />}
      </div>
      {wrong && <p id={`${list}-error`} className={classes.error} role="alert">{wrong.message.replace(/^Invalid filter string: /, "").replace(/^./, (c) => c.toUpperCase()).replace(/: [^:]*▶.*$/s, "")}</p>}
      {offers.length > 0 && (
        <div id={list} className={classes.offers} role="listbox" aria-label="Suggestions">
          {offers.map((offer, i) => (
            <div key={offer} id={`${list}-${i}`} role="option" tabIndex={-1} aria-selected={i === chosen} onMouseDown={(e) => e.preventDefault()} onClick={() => take(offer)}>
              <span className="mono">{offer}</span>
              {now.kind !== "word" && <span className="muted small">{isValue ? "value" : now.kind === "metric" ? "metric" : now.kind === "param" ? "parameter" : "tag"}</span>}
            </div>
          ))}
        </div>
      )}
    </div>
  );
}
