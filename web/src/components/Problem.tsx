// What a page shows when it has nothing to show: what failed, why, what to do; and what belongs in an empty list.
import { Button } from "@mantine/core";
import { IconAlertTriangle, IconCloudOff, IconLock, IconMapPinOff } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError, currentProject } from "../lib/api";
import { CopyBlock, CopyId } from "./CopyId";
import classes from "./Problem.module.css";

/** Any error of a request, in the server's words. */
export function Problem({ error, retry, what }: { error: unknown; retry?: () => void; what?: string }) {
  const e = error instanceof ApiError ? error : new ApiError(-1, "", error instanceof Error ? error.message : String(error), "");
  if (e.status === 404) return <Gone message={e.message} />;
  const forbidden = e.status === 403;
  const Icon = forbidden ? IconLock : e.status === 0 ? IconCloudOff : IconAlertTriangle;
  const title = forbidden ? "You may not see this" : e.status === 0 ? "The server does not answer" : `${what ?? "This"} could not be loaded`;
  return (
    <div className={classes.problem} role="alert">
      <Icon size={22} aria-hidden />
      <h2>{title}</h2>
      <p>{e.message}</p>
      {forbidden && <p className="muted">An administrator of this project can give you the role: Admin, Users, or lathe user.</p>}
      <div className="row">
        {retry && !forbidden && <Button onClick={retry}>Try again</Button>}
        {e.requestId && <span className="muted small">Request <CopyId id={e.requestId} whole /></span>}
      </div>
    </div>
  );
}

/** 404: of a page or of an object. Not the same as "you may not". */
export function Gone({ message }: { message?: string }) {
  return (
    <div className={classes.problem} role="alert">
      <IconMapPinOff size={22} aria-hidden />
      <h2>There is nothing at this address</h2>
      <p>{message ?? "The page is not known, or what it showed was renamed or deleted."}</p>
      <Link to="/p/$project" params={{ project: currentProject() }}>Overview</Link>
    </div>
  );
}

/** An empty list: one sentence on what belongs here, and the command that makes the first one. */
export function Empty({ title, children, code, label }: { title: string; children?: ReactNode; code?: string; label?: string }) {
  return (
    <div className={classes.empty}>
      <h2>{title}</h2>
      {children && <p className="muted">{children}</p>}
      {code && <CopyBlock text={code} label={label ?? "Copy the command"} />}
    </div>
  );
}

/** Skeleton rows, but only when it takes longer than a blink. */
export function Waiting({ rows = 8 }: { rows?: number }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className={classes.waiting} aria-busy="true">
      <span className="hidden">Loading</span>
      {shown && Array.from({ length: rows }, (_, i) => <span key={`w${i.toString()}`} style={{ width: `${92 - ((i * 37) % 45)}%` }} />)}
    </div>
  );
}

/** The three states of a query around what draws its data. Old data stays, dimmed, while new comes. */
export function Loaded<T>({ query, children, what, rows }: { query: UseQueryResult<T, ApiError>; children: (data: T) => ReactNode; what?: string; rows?: number }) {
  if (query.data !== undefined) return <div className={classes.loaded} data-stale={query.isPlaceholderData || undefined}>{children(query.data)}</div>;
  if (query.isError) return <Problem error={query.error} retry={() => void query.refetch()} what={what} />;
  return <Waiting rows={rows} />;
}
