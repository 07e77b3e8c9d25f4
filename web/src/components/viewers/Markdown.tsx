import { useEffect, useState } from "react";
import { renderMarkdown } from "../../lib/markdown";
import { Waiting } from "../Problem";
import classes from "./viewers.module.css";

/** Markdown, cleaned (lib/markdown.ts). */
export function Markdown({ text, resolve }: { text: string; resolve?: (path: string) => string }) {
  const [html, setHtml] = useState<string>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: `resolve` follows from the file, as the text does
  useEffect(() => {
    let gone = false;
    void renderMarkdown(text, resolve).then((made) => { if (!gone) setHtml(made); });
    return () => {
      gone = true;
    };
  }, [text]);
  if (html === undefined) return <Waiting rows={5} />;
  // biome-ignore lint/security/noDangerouslySetInnerHtml: DOMPurify has cleaned it
  return <div className={classes.markdown} dangerouslySetInnerHTML={{ __html: html }} />;
}
