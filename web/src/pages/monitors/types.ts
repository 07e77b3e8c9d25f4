// What GET /pages/monitors… answers.
export interface Window {
  id: string;
  number: number;
  revision: number;
  first_us: number;
  last_us: number;
  closed_us: number;
  requests: number;
  rows: number;
  judged: boolean;
  drifted: boolean;
  bad_quality: boolean;
  drifted_share?: number;
  labelled: number;
  correct: number;
  accuracy: { value: number; low: number; high: number } | null;
}
export interface Spec { window_rows: number; window_us: number; labels_from_feedback: boolean; ks_alpha: number; psi_threshold: number; drifted_share: number; consecutive: number }
export interface MonitorCard {
  endpoint: string;
  environment: string;
  live_revision: number;
  labels: number;
  spec: Spec;
  windows: Window[]; // newest first
  open_alerts: { id: string; kind: string; raised_us: number }[];
}
export interface Feature {
  name: string;
  kind: "numeric" | "category" | "constant" | "opaque";
  drifted: number;
  newest_psi: number;
  worst_psi: number;
  psi: (number | null)[]; // by window
  d: (number | null)[];
  p_holm: (number | null)[];
  flags: (number | null)[]; // 1 drifted, 2 bad quality
}
export interface Started { run: string; labels: number; at_us: number; pipeline?: string; number?: number; state?: string; verdict: { id: string; passed: boolean; reason: string } | null }
export interface AlertNumbers { windows?: AlertWindow[]; rule?: Record<string, unknown>; [key: string]: unknown }
export interface AlertWindow { window?: string; number?: number; [key: string]: unknown }
export interface Alert { id: string; kind: string; revision: number; raised_us: number; ended_us: number; numbers: AlertNumbers; started: Started | null }
export interface MonitorPage {
  endpoint: string;
  environment: string;
  live_revision: number;
  labels: number;
  spec: Spec;
  baseline: { evaluation: string; profile: string; set_us: number } | null;
  windows: Window[]; // oldest first
  feature_count: number;
  features: Feature[];
  alerts: Alert[];
}
export interface FeaturePage {
  name: string;
  kind: Feature["kind"];
  window: Window;
  psi_threshold: number;
  ks_alpha: number;
  baseline: { rows: number; missing: number; low: number; high: number; edges: number[]; categories: string[]; counts: number[] };
  now: {
    rows: number; missing: number; wrong_type: number; out_of_range: number; unseen: number; off_constant: number; tested: boolean; drifted: boolean; bad_quality: boolean;
    psi: number; d: number; p: number; p_holm: number; p_bh: number; quality_p: number; counts: number[];
  };
}
