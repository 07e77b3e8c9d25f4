// A Parquet file by windows: its foot says what is where, and only the pages of the rows in view are asked for.
import { useQuery } from "@tanstack/react-query";
import { type AsyncBuffer, type Compressors, type FileMetaData, parquetMetadataAsync, parquetRead, parquetSchema } from "hyparquet";
import { decompressBrotli } from "hyparquet-compressors/src/brotli.js";
import { gunzip } from "hyparquet-compressors/src/gzip.js";
import { decompressLz4, decompressLz4Raw } from "hyparquet-compressors/src/lz4.js";
import { decompress as zstd } from "fzstd";
import { useCallback, useMemo, useRef, useState } from "react";
import { type ApiError, ask, currentProject } from "../../lib/api";
import { Problem, Waiting } from "../Problem";
import { TableGrid } from "./TableGrid";

const WINDOW = 200;
const KEPT = 40; // windows
const MOST_COLUMNS = 200;

// Snappy is read by the reader's own code.
const readable: Compressors = {
  GZIP: (input, length) => gunzip(input, new Uint8Array(length)), BROTLI: decompressBrotli, LZ4: decompressLz4, LZ4_RAW: decompressLz4Raw,
  ZSTD: (input) => zstd(input),
};

interface Props { at: string; params: Record<string, string>; size: number; name: string; id: string }

export function Parquet({ at, params, size, name, id }: Props) {
  const file = useMemo((): AsyncBuffer => ({
    byteLength: size,
    slice: async (start, end) => (await ask(at, { params, headers: { range: `bytes=${start}-${(end ?? size) - 1}` } })).arrayBuffer(),
  }), [at, params, size]);
  const meta = useQuery<FileMetaData, ApiError>({ queryKey: [currentProject(), "parquet", id, size], queryFn: () => parquetMetadataAsync(file), retry: false });
  if (meta.isError) return <Problem error={meta.error} retry={() => void meta.refetch()} what={name} />;
  return meta.data ? <Rows file={file} meta={meta.data} name={name} /> : <Waiting rows={6} />;
}

function Rows({ file, meta, name }: { file: AsyncBuffer; meta: FileMetaData; name: string }) {
  const fields = useMemo(() => parquetSchema(meta).children, [meta]);
  const head = useMemo(() => fields.map((f) => f.element.name), [fields]);
  const types = useMemo(() => fields.map((f) => [f.element.logical_type?.type ?? f.element.converted_type ?? f.element.type, f.element.repetition_type === "OPTIONAL" ? "optional" : ""].filter(Boolean).join(", ").toLowerCase()), [fields]);
  const windows = useRef(new Map<number, unknown[][]>());
  const asked = useRef(new Set<number>());
  const [, redraw] = useState(0);
  const [error, setError] = useState<unknown>();
  const count = Number(meta.num_rows);
  const want = useCallback((from: number, to: number) => {
    for (let w = Math.floor(from / WINDOW); w <= Math.floor(to / WINDOW); w++) {
      if (asked.current.has(w) || w * WINDOW >= count) continue;
      asked.current.add(w);
      const columns = head.length > MOST_COLUMNS ? head.slice(0, MOST_COLUMNS) : undefined;
      parquetRead({ file, metadata: meta, compressors: readable, useOffsetIndex: true, columns, rowStart: w * WINDOW, rowEnd: Math.min(count, (w + 1) * WINDOW), onComplete: (rows) => {
        windows.current.set(w, rows as unknown[][]);
        for (const old of windows.current.keys()) {
          if (windows.current.size <= KEPT) break;
          windows.current.delete(old);
          asked.current.delete(old);
        }
        redraw((n) => n + 1);
      } }).catch((e: unknown) => { asked.current.delete(w); setError(e); });
    }
  }, [file, meta, head, count]);
  if (error) return <Problem error={error} retry={() => setError(undefined)} what={name} />;
  return <TableGrid label={name} head={head} types={types} count={count} at={(i) => windows.current.get(Math.floor(i / WINDOW))?.[i % WINDOW]} want={want} note={meta.created_by ? `Written by ${meta.created_by.slice(0, 60)}` : undefined} />;
}
