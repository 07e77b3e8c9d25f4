// Any JSON as folding lines: what is deep is closed, long lists come in parts, long text is cut until asked for.
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import classes from "./JsonView.module.css";

const PART = 100;
const OPEN_DEPTH = 2;
const LONG = 400;

export function JsonView({ value, depth = OPEN_DEPTH }: { value: unknown; depth?: number }) {
  return <div className={classes.json}><Value value={value} open={depth} name={null} /></div>;
}

function Value({ value, name, open }: { value: unknown; name: ReactNode; open: number }) {
  const [unfolded, setUnfolded] = useState(open > 0);
  const [shown, setShown] = useState(PART);
  if (value === null || typeof value !== "object") return <div className={classes.line}>{name}<Leaf value={value} /></div>;
  const list = Array.isArray(value);
  const entries: [string, unknown][] = list ? (value as unknown[]).slice(0, shown).map((v, i) => [String(i), v]) : Object.entries(value).slice(0, shown);
  const count = list ? (value as unknown[]).length : Object.keys(value).length;
  const [from, to] = list ? ["[", "]"] : ["{", "}"];
  if (count === 0) return <div className={classes.line}>{name}<span className="muted">{from}{to}</span></div>;
  return (
    <div>
      <button type="button" className={classes.fold} aria-expanded={unfolded} onClick={() => setUnfolded(!unfolded)}>
        {unfolded ? <IconChevronDown size={12} aria-hidden /> : <IconChevronRight size={12} aria-hidden />}{name}<span className="muted">{from}{!unfolded && <> {count} {list ? (count === 1 ? "item" : "items") : count === 1 ? "key" : "keys"} {to}</>}</span>
      </button>
      {unfolded && (
        <div className={classes.inside}>
          {entries.map(([k, v]) => <Value key={k} value={v} open={open - 1} name={<span className={classes.key}>{k}<span className="muted">: </span></span>} />)}
          {count > shown && <button type="button" className={`plain small ${classes.more}`} onClick={() => setShown(shown + PART * 5)}>{count - shown} more</button>}
        </div>
      )}
      {unfolded && <div className={`muted ${classes.line}`}>{to}</div>}
    </div>
  );
}

function Leaf({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== "string") return <span className={value === null || value === undefined ? "muted" : classes.number}>{String(value)}</span>;
  const long = value.length > LONG && !whole;
  return <span className={classes.text}>{long ? `${value.slice(0, LONG)}…` : value}{long && <button type="button" className="plain small" onClick={() => setWhole(true)}> {value.length - LONG} more characters</button>}</span>;
}
