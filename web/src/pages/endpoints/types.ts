// What GET /pages/endpoints… answers.
export interface Point {
  at_us: number;
  requests: number;
  failures: number;
  faults: number; // failures that were not the client's
  rows: number;
  seconds: number;
  p50: number | null; // seconds
  p95: number | null;
  p99: number | null;
}
export type Sums = Omit<Point, "at_us">;
export interface EndpointFacts {
  name: string;
  environment: string;
  default: boolean;
  live_revision: number;
  previous_revision: number;
  pipeline: string;
  model: string; // "digits/3"
  previous_model: string;
  graph: boolean; // made of other endpoints and model versions
  state: "empty" | "ready" | "failed";
  problem: string | null;
}
export interface EndpointCard extends EndpointFacts, Sums { open_alerts: number; points: Point[] }
export interface EndpointList { from_us: number; to_us: number; step_us: number; endpoints: EndpointCard[] }
export interface TensorInfo { name: string; datatype: string; shape: number[] }
export interface Signature {
  applies_transform: boolean;
  features_named: boolean;
  platform: string;
  features: { name: string; text: boolean }[];
  inputs: TensorInfo[];
  outputs: TensorInfo[];
  classes: string[];
}
export interface Revision { number: number; model: string; version: number; transform: string; created_us: number; traffic: Sums }
export interface PromotionMark { at_us: number; kind: string; revision: number; previous: number; model: string; version: number; verdict: string; actor: string }
export interface AlertMark { id: string; kind: string; revision: number; raised_us: number; ended_us: number }
export interface EndpointPage extends EndpointFacts {
  signature: Signature | null;
  revisions: Revision[];
  promotions: PromotionMark[];
  alerts: AlertMark[];
  monitored: boolean;
  queue: Queue | null; // null: each request runs at once, on the thread that read it
  traffic: Sums & { from_us: number; to_us: number; step_us: number; points: Point[] };
}

/** Of a model that waits or batches, since its revision is live. */
export interface Queue {
  workers?: number; busy?: number; waiting?: number; started?: number; crashed?: number; // of a Python model
  batches: { rows: number; executions: number }[]; // up to so many rows, by powers of two
  executions?: number; requests?: number; waited_s?: number; // where requests are batched
}

// What GET /pages/loaded answers.
export interface LoadedModel {
  endpoint: string; environment: string; revision: number; model: string; version: number; role: "live" | "canary" | "shadow";
  state: "ready" | "cold" | "failed"; problem: string; platform: string; file_bytes: number; requests: number; failures: number; used_us: number | null;
  workers: { ready: number; busy: number; waiting: number; crashed: number } | null;
}

// What GET /endpoints/{name}/traffic answers.
export interface TrafficRevision { revision: number; model: string; version: number; weight: number; live: boolean; shadow: boolean; loaded: boolean; requests: number; failures: number; faults: number; p50: number | null; p95: number | null; labelled: number; correct: number }
export interface Mirrored { revision: number; shadow: number; requests: number; rows: number; agreed: number; failures: number; dropped: number; agreement: number | null; score_difference: number | null; largest_difference: number; mean_seconds: number | null }
interface RolloutSide { requests: number; faults: number; p95: number | null; labelled: number; correct: number }
export interface Rollout {
  revision: number; champion: number; verdict: string; state: string; phase: "canary" | "bake"; step: number; steps: number[];
  wait_us: number; bake_us: number; since_us: number; max_errors: number; max_slowdown: number; min_requests: number; max_regression: number;
  reason: string; numbers: { challenger: RolloutSide; champion: RolloutSide } | null; started_us: number; ended_us: number;
}
export interface TrafficFacts {
  endpoint: string; live_revision: number; previous_revision: number; generation: number; sticky: string; describe: string;
  revisions: TrafficRevision[];
  accuracy: { champion: number; challenger: number; difference: number; low: number; high: number; p: number }[];
  shadow: { revision: number; percent: number } | null;
  mirrored: Mirrored[];
  paired: { revision: number; shadow: number; rows: number; primary_correct: number; shadow_correct: number; primary_only: number; shadow_only: number; p: number } | null;
  rollouts: Rollout[];
}
export interface ReplayAnswer { revision: number; model: string; version: number; requests: number; rows: number; identical: number; changed_labels: number; skipped: Record<string, number>; differing: { row: number; was: string; now: string; was_score: number | null; now_score: number | null; detail: string }[] }

export interface CapturedRow { prediction: string | null; label: string | null; wrong: boolean; score: number | null; values: (number | string)[]; texts: string[] }
// The way that one request took through a graph.
export interface RouteStep { path: string; endpoint?: string; revision?: number; model: string; version: number; ran?: boolean }
export interface Route { steps: RouteStep[]; splits?: Record<string, number>; headers?: Record<string, string> }
export interface Captured { route?: Route; id: string; at_us: number; revision: number; duration_us: number | null; client_id: string | null; row_count: number; layout: number; rows: CapturedRow[] }
export interface Layout { features: string[]; text_features: string[] }
export interface RequestsAnswer { requests: Captured[]; layouts: Layout[]; scanned: number; oldest_us: number; next: string | null }

// What GET /endpoints/{name}/graph answers.
export interface GraphStep {
  name: string; node?: string; endpoint?: string; revision?: number; model?: string; version?: number; ready?: boolean;
  condition?: string; data: "$request" | "$response"; dependency: "soft" | "hard"; weight?: number;
}
export interface GraphNode { name: string; router: "sequence" | "switch" | "ensemble" | "splitter"; combine?: "average" | "vote" | "merge"; steps: GraphStep[] }
export interface StepNumbers { path: string; requests: number; failures: number; rows: number; p50: number | null; p99: number | null }
export interface GraphFacts {
  endpoint: string; revision: number; ready: boolean; problem: string; nodes: GraphNode[];
  requests?: number; failures?: number; rows?: number; steps?: StepNumbers[]; columns?: { name: string; type: "text" | "number" }[]; // of one that is ready
}

// What GET /planes answers.
export interface Plane {
  id: string; name: string; version: string; address: string; principal: string; started_us: number; seen_us: number; connected: boolean; current: boolean;
  position: string; captures_waiting_since_us: number | null; certificate_ends_us: number | null; captures_sent: number; captures_lost: number;
  endpoints: { name: string; revision: number; generation: number; wanted_revision: number; wanted_generation: number; current: boolean; problem?: string }[];
}
