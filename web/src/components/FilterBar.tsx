// One row of filters over a list, and the chips of what is filtered now.
import { CloseButton, TextInput } from "@mantine/core";
import { IconSearch, IconX } from "@tabler/icons-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useAction } from "../lib/actions";
import classes from "./FilterBar.module.css";

export function FilterBar({ children }: { children: ReactNode }) {
  return <div className={classes.bar}>{children}</div>;
}

interface SearchProps {
  value: string;
  onChange: (value: string) => void; // after a pause, to be put into the address with `replace`
  placeholder?: string;
  label: string;
  width?: number | string;
  error?: string;
  mono?: boolean;
}

/** Typing is not history: the value goes out 200 ms after the last key, or at once with Enter. */
export function SearchInput({ value, onChange, placeholder, label, width = 280, error, mono }: SearchProps) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const sent = useRef(value);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (value !== sent.current) setTyped(value); // changed from elsewhere: Back, a chip
    sent.current = value;
  }, [value]);
  useAction({ id: "filter", label: `Filter: ${label}`, keys: "f", group: "Here", run: () => input.current?.focus() });
  function send(next: string) {
    clearTimeout(timer.current);
    sent.current = next;
    onChange(next);
  }
  return (
    <TextInput
      ref={input} aria-label={label} placeholder={placeholder ?? label} w={width} value={typed} error={error} classNames={mono ? { input: "mono" } : undefined}
      leftSection={<IconSearch size={14} aria-hidden />}
      rightSection={typed ? <CloseButton size="xs" aria-label="Clear" onClick={() => { setTyped(""); send(""); }} /> : null}
      onChange={(e) => {
        const next = e.currentTarget.value;
        setTyped(next);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => send(next), 200);
      }}
      onKeyDown={(e) => {
        if (e.key === "Enter") send(typed);
        if (e.key === "Escape") input.current?.blur();
      }}
    />
  );
}

/** A filter in force, with × to drop it. */
export function Chip({ children, onRemove, label }: { children: ReactNode; onRemove: () => void; label: string }) {
  return (
    <span className={classes.chip}>
      {children}
      <button type="button" className="plain" aria-label={`Remove ${label}`} onClick={onRemove}><IconX size={12} aria-hidden /></button>
    </span>
  );
}
