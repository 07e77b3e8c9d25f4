// The command palette: go to any object by its name or the beginning of its id, or run any act of the page.
import { Spotlight, spotlight } from "@mantine/spotlight";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { type KeyboardEvent, useState } from "react";
import { useActions } from "../lib/actions";
import { get } from "../lib/api";
import { shortId } from "../lib/format";
import { placeOf } from "../lib/places";
import classes from "./Palette.module.css";

export const openPalette = (): void => spotlight.open();

interface Found { kind: string; id: string; name: string; detail?: string; pipeline?: string; endpoint?: string }
const KINDS: Record<string, string> = {
  run: "Run", experiment: "Experiment", registered_model: "Model", model_version: "Model version", data: "Data", data_version: "Data version", endpoint: "Endpoint",
  pipeline: "Pipeline", pipeline_run: "Pipeline run", evaluation: "Evaluation", monitor: "Monitor", alert: "Alert",
};

const words = (text: string) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Enter without a choice takes the first: results come while one types, and none is chosen for one. */
function openFirst(e: KeyboardEvent): void {
  const list = document.querySelectorAll<HTMLElement>("[data-action]");
  if (e.key !== "Enter" || [...list].some((a) => a.hasAttribute("data-selected"))) return;
  e.preventDefault();
  list[0]?.click();
}

export function Palette({ project }: { project: string }) {
  const router = useRouter();
  const actions = useActions();
  const [query, setQuery] = useState("");
  const [asked] = useDebouncedValue(query.trim(), 80);
  const found = useQuery({
    queryKey: [project, "/search", { q: asked }],
    queryFn: ({ signal }) => get<{ results: Found[] }>("/search", { q: asked }, signal),
    enabled: asked.length > 0,
    placeholderData: keepPreviousData,
    staleTime: 5_000,
    gcTime: 60_000,
  });
  const wanted = words(query);
  const shown = actions.filter((a) => a.id !== "palette" && a.id !== "palette2" && wanted.every((w) => `${a.label} ${a.hint ?? ""}`.toLowerCase().includes(w))).slice(0, 14);
  const objects = asked && query.trim() ? (found.data?.results ?? []) : [];
  const groups = [...new Set(shown.map((a) => a.group ?? "Here"))];
  return (
    <Spotlight.Root query={query} onQueryChange={setQuery} shortcut={null} size={620} scrollable maxHeight={460} returnFocus overlayProps={{ blur: 0, backgroundOpacity: 0.35 }} transitionProps={{ duration: 80 }}>
      <Spotlight.Search placeholder="A name, the beginning of an id, or a command" aria-label="Search or run a command" onKeyDown={openFirst} />
      <Spotlight.ActionsList>
        {objects.length > 0 && (
          <Spotlight.ActionsGroup label="Objects">
            {objects.map((o) => (
              <Spotlight.Action key={`${o.kind}:${o.id}`} onClick={() => router.history.push(placeOf(project, o.kind, o.id, { pipeline: o.pipeline ?? "", endpoint: o.endpoint ?? "" }))}>
                <span className={classes.object}>
                  <span className={classes.kind}>{KINDS[o.kind] ?? o.kind}</span>
                  <span className="cut">{o.name}</span>
                  <span className={`${classes.detail} cut`}>{o.detail ?? ""}</span>
                  {o.id !== o.name && <span className={`${classes.detail} mono`}>{shortId(o.id)}</span>}
                </span>
              </Spotlight.Action>
            ))}
          </Spotlight.ActionsGroup>
        )}
        {groups.map((group) => (
          <Spotlight.ActionsGroup key={group} label={group}>
            {shown.filter((a) => (a.group ?? "Here") === group).map((a) => (
              <Spotlight.Action key={a.id} disabled={!!a.disabled} onClick={() => a.run()}>
                <span className={classes.object}>
                  <span className="cut">{a.label}</span>
                  <span className={`${classes.detail} cut`}>{a.disabled ?? a.hint ?? ""}</span>
                  {a.keys && <kbd className="key">{a.keys.replace("mod+", "Ctrl ")}</kbd>}
                </span>
              </Spotlight.Action>
            ))}
          </Spotlight.ActionsGroup>
        ))}
        {objects.length + shown.length === 0 && <Spotlight.Empty>{found.isFetching ? "Searching" : "Nothing has this name, id or label"}</Spotlight.Empty>}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}
