// Values of many runs at once, for charts of runs against one another: windows of the list, one after the other, up to a
// stated number.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type ApiError, currentProject, get } from "./api";
import { type Query, type RunRow, type RunWindow, type Value, withQuery } from "./tracking";

const WINDOW = 500; // the server's own limit
export const MOST_VALUES = 2000;
const LIVE_UP_TO = 500; // more are not asked for again with each event

export interface RunValues { columns: readonly string[]; rows: readonly RunRow[]; more: boolean }

export function useRunValues(query: Query, columns: readonly string[], most = MOST_VALUES, enabled = true) {
  const asked = { ...query, col: columns, ...(columns.length ? {} : { bare: "1" }) };
  const text = withQuery("", asked);
  return useQuery<RunValues, ApiError>({
    queryKey: [currentProject(), "/pages/runs", text, "values", most],
    queryFn: async ({ signal }) => {
      const rows: RunRow[] = [];
      let after: string | undefined;
      do {
        const page = await get<RunWindow>(withQuery("/pages/runs", { ...asked, limit: Math.min(WINDOW, most - rows.length), ...(after ? { after } : {}) }), undefined, signal);
        rows.push(...page.rows);
        after = page.next;
      } while (after && rows.length < most);
      return { columns, rows, more: !!after };
    },
    enabled,
    placeholderData: keepPreviousData,
    meta: { topics: most <= LIVE_UP_TO ? ["run"] : [] },
  });
}

/** The value of a column in a row; `own` ones are the run's own words. */
export function cellOf(values: RunValues, row: RunRow, column: string): Value {
  if (column === "status") return row.status;
  if (column === "user") return row.user || null;
  if (column === "experiment") return row.experiment;
  if (column === "data") return row.data[0] ?? null;
  const at = values.columns.indexOf(column);
  return at < 0 ? null : (row.cells[at] ?? null);
}
