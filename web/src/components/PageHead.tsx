// The head of a page: its title, what is behind it, and the acts at the right. Also the window's title.
import { type ReactNode, useEffect } from "react";
import { currentProject } from "../lib/api";
import classes from "./PageHead.module.css";

interface Props {
  title: string;
  /** A count or a state beside the title. */
  note?: ReactNode;
  /** Before the title: what kind of thing it is, when the name alone does not say. */
  kind?: string;
  /** Second line: facts in short. */
  facts?: ReactNode;
  /** The acts; the primary one last. */
  children?: ReactNode;
}

export function PageHead({ title, note, kind, facts, children }: Props) {
  useEffect(() => {
    document.title = `${title} · ${currentProject()} · Lathe`;
  }, [title]);
  return (
    <div className={classes.head}>
      <div className={classes.words}>
        <h1 className={classes.title}>{kind && <span className={classes.kind}>{kind} </span>}<span className="cut" title={title}>{title}</span></h1>
        {note !== undefined && <span className={`muted ${classes.note}`}>{note}</span>}
        <span className="spacer" />
        {children && <div className={classes.acts}>{children}</div>}
      </div>
      {facts && <div className={classes.facts}>{facts}</div>}
    </div>
  );
}
