// Requests whose input is an image, as images: which ones the model got wrong is seen at a glance.
import { Button } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { PixelImage } from "../../components/PixelImage";
import { Empty, Problem, Waiting } from "../../components/Problem";
import { formatCount, formatMetric } from "../../lib/format";
import type { ImageShape } from "../../lib/image";
import { RequestFilters, RequestPeek, filterOf } from "./Requests";
import classes from "./endpoints.module.css";
import type { EndpointPage } from "./types";
import { type RequestRow, useRequests } from "./useRequests";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");

export function Images({ page, image }: { page: EndpointPage; image: ImageShape }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const rows = useRequests(page.name, filterOf(search), 120);
  const here = rows.total ?? rows.count - 1;
  const shown = Array.from({ length: rows.count }, (_, i) => rows.at(i)).filter((r): r is RequestRow => r !== undefined);
  const peeked = shown.find((r) => r.request.id === search.peek);
  const peek = (id: string) => navigate({ search: (s) => ({ ...s, peek: id }), replace: true });
  return (
    <>
      <RequestFilters page={page} first={rows.first} onNewer={rows.retry} />
      <div className="page-fill" style={{ position: "relative" }}>
        {rows.error ? <Problem error={rows.error} retry={rows.retry} what="The images" /> : rows.loading ? <Waiting /> : shown.length === 0 ? <Empty title={search.only === "wrong" ? "No wrong answer is known" : "No captured request matches"}>{search.only === "wrong" ? "A wrong answer is known when feedback brings its true label." : "Change the filters, or ask the endpoint something."}</Empty> : (
          <div className={classes.body} style={{ opacity: rows.stale ? 0.55 : 1 }}>
            <p className="muted small">{formatCount(here)}{rows.count > shown.length ? " and more" : ""}, newest first. Under each: predicted, and the true label where one is known.</p>
            <div className={classes.gallery}>
              {shown.map(({ request }) => {
                const row = request.rows[0];
                return row && (
                  <button type="button" key={request.id} className={classes.card} data-on={request.id === search.peek || undefined} onClick={() => peek(request.id)} title={`${request.id}\nscore ${formatMetric(row.score)}`}>
                    <PixelImage shape={image} values={row.values} size={72} label={`Predicted ${row.prediction}${row.label ? `, is ${row.label}` : ""}`} />
                    <span className={row.wrong ? classes.wrong : undefined}><b>{row.prediction}</b>{row.label && (row.wrong ? ` ≠ ${row.label}` : " ✓")}</span>
                  </button>
                );
              })}
            </div>
            {rows.count > shown.length && <Button className={classes.more} onClick={() => rows.want(rows.count, rows.count)}>More</Button>}
          </div>
        )}
        {peeked && <RequestPeek key={peeked.request.id} row={peeked} page={page} image={image} onClose={() => peek("")} />}
      </div>
    </>
  );
}
