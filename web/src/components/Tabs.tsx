// Tabs inside a page are addresses: links, so that Back, Ctrl-click and a shared link work.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import classes from "./Tabs.module.css";

export interface Tab { id: string; label: string; count?: ReactNode; hidden?: boolean }

/** `to` makes the address of a tab; the search parameters of the address are kept, but for those that `search` says. */
export function Tabs({ tabs, active, to, search, label }: { tabs: readonly Tab[]; active: string; to: (id: string) => string; search?: (id: string) => object; label: string }) {
  return (
    <nav className={classes.tabs} aria-label={label}>
      {tabs.filter((t) => !t.hidden).map((t) => (
        <Link key={t.id} to={to(t.id) as "/"} search={(search ? (old: object) => ({ ...old, ...search(t.id) }) : true) as never} className={classes.tab} data-on={t.id === active || undefined} aria-current={t.id === active ? "page" : undefined}>
          {t.label}{t.count !== undefined && <span className="muted"> {t.count}</span>}
        </Link>
      ))}
    </nav>
  );
}
