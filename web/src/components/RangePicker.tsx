// The time range of a page, kept in its address: relative ("now-6h") or two instants. A relative one says so and can be pinned.
import { Button, SegmentedControl, Tooltip } from "@mantine/core";
import { IconPin } from "@tabler/icons-react";
import { formatMinute } from "../lib/format";
import { readInstant } from "../lib/search";

const CHOICES = [["now-15m", "15 m"], ["now-1h", "1 h"], ["now-6h", "6 h"], ["now-24h", "24 h"], ["now-7d", "7 d"], ["now-14d", "14 d"]] as const;

export function RangePicker({ from, to, onChange, fallback }: { from: string; to: string; onChange: (range: { from: string; to: string }) => void; fallback: string }) {
  const relative = to === "now" && CHOICES.some(([value]) => value === from);
  const now = Date.now();
  const [a, b] = [readInstant(from, now) ?? now, readInstant(to, now) ?? now];
  return (
    <span className="row">
      {relative || from.startsWith("now") ? (
        <>
          <SegmentedControl aria-label="Time range" value={from} onChange={(value) => onChange({ from: value, to: "now" })} data={CHOICES.map(([value, label]) => ({ value, label }))} />
          <Tooltip label="A link to this page shows the newest data of its reader's moment. Pin it to share exactly this span.">
            <Button variant="subtle" leftSection={<IconPin size={14} />} onClick={() => onChange({ from: new Date(a).toISOString(), to: new Date(b).toISOString() })}>Pin</Button>
          </Tooltip>
        </>
      ) : (
        <>
          <span className="tag" data-strong>{formatMinute(a)} to {formatMinute(b)}</span>
          <Button variant="subtle" onClick={() => onChange({ from: fallback, to: "now" })}>Back to now</Button>
        </>
      )}
    </span>
  );
}
