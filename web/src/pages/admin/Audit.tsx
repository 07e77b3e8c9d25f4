// The audit: who did what to what, when, by which request.
import { SegmentedControl } from "@mantine/core";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import type { Column } from "../../components/DataGrid";
import { Chip, FilterBar, SearchInput } from "../../components/FilterBar";
import { Empty } from "../../components/Problem";
import { currentProject } from "../../lib/api";
import { placeOf } from "../../lib/places";
import { AuditLines, DID, WHEN, WHO } from "../audit/AuditLines";
import { subjectOf } from "../audit/said";
import type { AuditLine } from "./types";

const route = getRouteApi("/shell/admin/{-$section}");
const words = (action: string) => action.replace(".", " ").replaceAll("_", " ");

const COLUMNS: Column<AuditLine>[] = [
  WHEN, WHO,
  { key: "action", label: "Did", width: "minmax(150px, 1fr)", cell: (l) => words(l.action), title: (l) => l.action, raw: (l) => l.action },
  { key: "subject", label: "To", width: "minmax(180px, 1.4fr)", cell: (l) => <><span className="muted">{l.subject.kind.replaceAll("_", " ")}</span> {l.subject.id}</>, title: (l) => l.subject.id, raw: (l) => `${l.subject.kind}:${l.subject.id}` },
  { key: "body", label: "Details", width: "minmax(160px, 2fr)", cell: (l) => <span className="mono muted">{Object.keys(l.body).length ? JSON.stringify(l.body) : ""}</span>, raw: (l) => JSON.stringify(l.body) },
];
const OF_MODELS: Column<AuditLine>[] = [
  WHEN, WHO,
  { key: "model", label: "Model", width: "minmax(140px, 1fr)", cell: (l) => <a tabIndex={-1} href={placeOf(currentProject(), "model", subjectOf(l).model)}>{subjectOf(l).model}</a>, raw: (l) => subjectOf(l).model },
  DID,
];
const TOPICS = ["*"];

export function Audit() {
  const { actor, kind, about, peek } = route.useSearch();
  const navigate = useNavigate();
  const go = (change: { actor?: string; kind?: string; peek?: string; about?: string }) => void navigate({ to: ".", search: (old: object) => ({ ...old, ...change }) as never, replace: true });
  return (
    <>
      <FilterBar>
        <SegmentedControl aria-label="What it is about" value={about} onChange={(v) => go({ about: v, peek: "" })} data={[{ value: "", label: "Everything" }, { value: "models", label: "Models" }]} />
        <SearchInput label="Who" placeholder="Who: user:ann" value={actor} onChange={(value) => go({ actor: value })} width={200} />
        <SearchInput label="Did" placeholder="Did: token, alias.set" value={kind} onChange={(value) => go({ kind: value })} width={200} />
        {actor && <Chip label="who" onRemove={() => go({ actor: "" })}>by {actor}</Chip>}
        {kind && <Chip label="did" onRemove={() => go({ kind: "" })}>{words(kind)}</Chip>}
      </FilterBar>
      <AuditLines
        path="/audit" params={{ actor, kind, about }} columns={about ? OF_MODELS : COLUMNS} topics={TOPICS} peek={peek} onPeek={(id) => go({ peek: id })}
        empty={actor || kind ? <Empty title="No line matches">An actor is written whole, as in user:ann; an act whole or its first word, as in token.</Empty>
          : about ? <Empty title="No model was changed yet">Who makes a model or a version, tags it, moves an alias or a stage, promotes or deletes leaves a line here.</Empty>
          : <Empty title="Nothing was done yet" code="lathe audit">Each change of access, configuration, registry and deployment leaves a line here.</Empty>}
      />
    </>
  );
}
