// What GET /pages/pipelines… answers.
export interface Run {
  id: string;
  pipeline: string;
  number: number;
  state: string;
  cause: string;
  bundle: string;
  params: Record<string, string>;
  created_us: number;
  ended_us: number; // 0: not yet
}
export interface Schedule {
  cron: string;
  cron_next_us: number | null;
  cron_params: Record<string, string>;
}
export interface Progress { stages: number; done: number; running: number; failed: number }
export interface PipelineCard extends Schedule {
  name: string;
  experiment: string;
  stages: number;
  changed_us: number;
  run_count: number;
  runs: Run[]; // newest first
  newest_progress: Progress | null;
}
export interface StageSpec {
  name: string;
  group: string;
  cmd: string;
  internal: boolean;
  after: string[];
  deps: string[];
  outs: string[];
  metrics: string[];
  data: string[];
  params: Record<string, string>;
  retries: number;
  timeout_us: number;
  always: boolean;
  desc: string;
}
export interface Cell { state: string; reason: string; tries: number; started_us: number; ended_us: number }
export interface GridData {
  stages: string[];
  runs: Run[];
  cells: (Cell | null)[][]; // by run, then by stage
}
export interface PipelinePage extends Schedule {
  name: string;
  experiment: string;
  bundle: string;
  changed_us: number;
  run_count: number;
  stages: StageSpec[];
  grid: GridData;
}
export interface StageRow {
  name: string;
  state: string;
  reason: string;
  attempt: string;
  tries: number;
  started_us: number;
  ended_us: number;
  waits: string | null;
}
export interface Attempt { id: string; stage: string; outcome: string | null; detail: string; started_us: number; ended_us: number }
export interface RunPage {
  run: Run;
  newest_number: number;
  forced: boolean;
  cancel_requested: boolean;
  experiment: string;
  stages: StageSpec[];
  rows: StageRow[];
  attempts: Attempt[];
  bundle: { id: string; commit: string; dirty: boolean; files: number; bytes: number } | null;
  verdict: { id: string; passed: boolean; reason: string; kind: string; model: string; endpoint: string } | null;
}
