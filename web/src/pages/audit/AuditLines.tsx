// Audit lines as a grid, with all of a line in the panel: of everything, or of one model.
import type { ReactNode } from "react";
import { CopyBlock, CopyId } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Facts, Peek } from "../../components/Peek";
import { currentProject } from "../../lib/api";
import { formatAgo, formatInstant, fromUs, shortId } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { useWindowRows } from "../../lib/rows";
import type { AuditLine } from "../admin/types";
import { said } from "./said";

interface Answer { lines: AuditLine[]; next?: string }
const read = (a: Answer) => ({ rows: a.lines, next: a.next });

export const whoDid = (actor: string): string => (actor.startsWith("attempt:") ? `attempt ${shortId(actor)}` : actor);
export const WHEN: Column<AuditLine> = { key: "at", label: "When", width: "100px", cell: (l) => formatAgo(fromUs(l.at_us)), title: (l) => formatInstant(fromUs(l.at_us)), raw: (l) => formatInstant(fromUs(l.at_us)) };
export const WHO: Column<AuditLine> = { key: "actor", label: "Who", width: "minmax(120px, 1fr)", cell: (l) => <b>{whoDid(l.actor)}</b>, title: (l) => l.actor, raw: (l) => l.actor };
export const DID: Column<AuditLine> = { key: "action", label: "Did", width: "minmax(200px, 3fr)", cell: said, title: said, raw: said };

interface Props { path: string; params: Record<string, string | undefined>; columns: readonly Column<AuditLine>[]; topics: readonly string[]; peek: string; onPeek: (id: string) => void; empty: ReactNode; label?: string }

export function AuditLines({ path, params, columns, topics, peek, onPeek, empty, label = "Audit" }: Props) {
  const rows = useWindowRows<AuditLine, Answer>(path, params, { read, topics });
  const chosen = peek ? Array.from({ length: rows.count }, (_, i) => rows.at(i)).find((l) => l && String(l.id) === peek) : undefined;
  return (
    <DataGrid
      label={label} columns={columns} rows={rows} id={(l) => String(l.id)} peek={peek} onPeek={(id) => onPeek(id ?? "")} empty={empty}
      panel={chosen && (
        <Peek title={said(chosen)} onClose={() => onPeek("")}>
          <Facts facts={[["Who", chosen.actor], ["When", formatInstant(fromUs(chosen.at_us))], ["To", <a key="s" href={placeOf(currentProject(), chosen.subject.kind, chosen.subject.id)}>{chosen.subject.id}</a>], ["Act", <span key="a" className="mono">{chosen.action}</span>], ["Request", chosen.request_id ? <CopyId key="r" id={chosen.request_id} /> : null]]} />
          {Object.keys(chosen.body).length > 0 && <CopyBlock text={JSON.stringify(chosen.body, null, 2)} label="Copy the details" />}
        </Peek>
      )}
    />
  );
}
