// What a column of runs is called, and how a list of them is written into the address.
import { readColumn } from "./tracking";
import { listOf, listText } from "./search";

export const OWN_COLUMNS = [{ value: "experiment", label: "Experiment" }, { value: "status", label: "Status" }, { value: "user", label: "Owner" }, { value: "data", label: "Data" }] as const;

export const columnLabel = (text: string): string => {
  const own = OWN_COLUMNS.find((o) => o.value === text);
  if (own) return own.label;
  const c = readColumn(text);
  return !c ? text : c.pick === "last" ? c.key : `${c.key} ${c.pick === "min" ? "lowest" : "highest"}`;
};

/** Names may hold commas; in the address they are escaped, so that a list stays one text. */
export const escapeName = (name: string): string => name.replaceAll("%", "%25").replaceAll(",", "%2C").replaceAll("~", "%7E");
export function unescapeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // written by hand
  }
}
export const namesOf = (text: string): string[] => listOf(text).map(unescapeName);
export const namesText = (names: readonly string[]): string => listText(names.map(escapeName));

/** A chart that a person added: "scatter~params.lr~metrics.accuracy". */
export interface Card { kind: CardKind; parts: string[] }
export const CARD_KINDS = ["scatter", "parallel", "bar", "box"] as const;
export type CardKind = (typeof CARD_KINDS)[number];
export const cardsOf = (text: string): Card[] => listOf(text).flatMap((one) => {
  const [kind, ...parts] = one.split("~");
  const known = CARD_KINDS.find((k) => k === kind);
  return known ? [{ kind: known, parts: parts.map(unescapeName) }] : [];
});
export const cardsText = (cards: readonly Card[]): string => listText(cards.map((c) => [c.kind, ...c.parts.map(escapeName)].join("~")));
