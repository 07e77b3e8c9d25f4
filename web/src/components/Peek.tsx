// The side panel of a list: the row that is looked at, without leaving the list.
import { CloseButton } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./Peek.module.css";

export function Peek({ title, onClose, children, footer, width = 320 }: { title: ReactNode; onClose: () => void; children: ReactNode; footer?: ReactNode; width?: number }) {
  return (
    <aside className={classes.peek} style={{ width }} aria-label={typeof title === "string" ? title : "Details"}>
      <header><b className="cut">{title}</b><CloseButton aria-label="Close" size="sm" onClick={onClose} /></header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div className={classes.body} tabIndex={0}>{children}</div>
      {footer && <footer>{footer}</footer>}
    </aside>
  );
}

/** Names and values, one under the other. Missing values are "–". */
export function Facts({ facts }: { facts: readonly (readonly [ReactNode, ReactNode] | false | null | undefined)[] }) {
  return (
    <dl className="facts">
      {facts.map((f, i) => f && <Fact key={typeof f[0] === "string" ? f[0] : i.toString()} name={f[0]} value={f[1]} />)}
    </dl>
  );
}
const Fact = ({ name, value }: { name: ReactNode; value: ReactNode }) => <><dt>{name}</dt><dd>{value ?? "–"}</dd></>;
