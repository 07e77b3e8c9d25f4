// What GET /pages/data… answers.
export interface Version { id: string; name: string; number: number; created_us: number; label: string; features: number; rows: Record<string, number> }
export interface DataSet { name: string; bytes: number; versions: number; newest: Version }
export interface VersionFile { path: string; size: number; digest: string }
export interface SchemaColumn { name: string; type: "number" | "text"; role: "feature" | "group" | "label"; integer?: boolean; missing: boolean; min?: number; max?: number; values?: string[] }
export interface ProfileColumn {
  name: string;
  type: "number" | "text";
  count: number;
  missing: number;
  distinct: number;
  min?: number;
  max?: number;
  mean?: number;
  std?: number;
  quantiles?: Record<string, number>;
  histogram?: { edges: number[]; counts: number[] };
  top: { value: string | number; count: number }[];
}
export interface Profile { parts: Record<string, { rows: number; labels?: Record<string, number> }>; columns: ProfileColumn[] }
export interface Edge { kind: string; id: string; role: string; at_us: number }
export interface VersionPage {
  version: Version;
  source: Record<string, unknown>;
  files: VersionFile[];
  schema: { columns: SchemaColumn[]; label: string | null; group: string | null } | null;
  profile: Profile | null;
  versions: Version[]; // newest first
  from: Edge[];
  used_by: Edge[];
  uses: number;
}
export interface RowsAnswer { file: string; total: number; from: number; columns: string[]; rows: string[][] }
export interface ColumnDiff { name: string; change: string; missing_before: number; missing_after: number; mean_before: number; mean_after: number; distance: number; p: number }
export interface Diff {
  before: Version;
  after: Version;
  files: { path: string; change: "" | "added" | "removed" | "changed"; size_before: number; size_after: number }[];
  rows: { before: number; after: number; added: number; removed: number; relabelled: number; moved: number };
  columns: ColumnDiff[];
}
