// Ids: eight characters in mono, the whole id on hover, one click copies it. Plain DOM, because tables draw it hundreds of times.
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { type MouseEvent, useState } from "react";
import { copyText } from "../lib/copy";
import { shortId } from "../lib/format";

function useCopied(text: string): [boolean, (e: MouseEvent) => void] {
  const [copied, setCopied] = useState(false);
  return [
    copied,
    (e) => {
      e.stopPropagation();
      void copyText(text).then(() => {
        setCopied(true);
        setTimeout(() => setCopied(false), 1200);
      });
    },
  ];
}

export function CopyId({ id, tabIndex, whole = false }: { id: string; tabIndex?: number; whole?: boolean }) {
  const [copied, copy] = useCopied(id);
  return (
    <button type="button" className="mono plain" tabIndex={tabIndex} title={id} onClick={copy}>
      <span className="hidden">Copy id</span> {whole ? id : shortId(id)} {copied ? <IconCheck size={13} aria-label="Copied" /> : <IconCopy size={13} aria-hidden />}
    </button>
  );
}

/** A command or a snippet with its copy button. */
export function CopyBlock({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, copy] = useCopied(text);
  return (
    <div className="copy-block">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <pre tabIndex={0}>{text}</pre>
      <button type="button" className="plain small" onClick={copy} aria-label={label}>
        {copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />}
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}
