// What /pages/overview answers; the server's side is src/api/lathe/pages_overview.cc.
export interface Overview {
  now_us: number;
  loops: Loop[];
  truncated: boolean;
  counts: { experiments: number; runs: number; models: number; data: number; pipelines: number; endpoints: number };
  events: PastEvent[];
  next?: number;
}
export interface Loop {
  pipeline: string;
  model: string;
  metric: string;
  cron: string;
  cron_next_us: number | null;
  data: { id: string; name: string; number: number; created_us: number; rows: Record<string, number> } | null;
  run: {
    id: string; number: number; state: string; cause: string; created_us: number; ended_us: number | null; stages: number; done: number; running: string[];
    problem: { stage: string; attempt: string; reason: string } | null;
  } | null;
  verdict: { id: string; run: string; passed: boolean; kind: string; champion: string; environment: string; at_us: number; reason: string } | null;
  environments: Environment[];
}
export interface Environment {
  name: string;
  endpoint: {
    name: string; revision: number; previous_revision: number; problem: string;
    traffic?: { from_us: number; step_us: number; requests: number; failures: number; p99: number | null; points: [number, number][] };
  } | null;
  live: { model: string; version: number; since_us: number | null; by: string; value?: { value: number; low: number; high: number; part: string; evaluation: string } | null } | null;
  monitor: {
    labels: number; min_labels: number; alerts: OpenAlert[];
    windows: { id: string; number: number; revision: number; closed_us: number; rows: number; judged: boolean; drifted: boolean; bad_quality: boolean; labelled: number; correct: number }[];
  } | null;
  retraining: { alert: string; run: string; at_us: number } | null;
  cooldown_until_us: number | null;
  retrains_on: string[];
}
export interface OpenAlert { id: string; kind: string; revision: number; raised_us: number; crossed?: number; family?: number; feature?: string; psi?: number }
export interface PastEvent { id: string; at_us: number; kind: string; subject: { kind: string; id: string }; actor: string; body: Record<string, unknown> }
