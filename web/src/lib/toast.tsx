// What an act did, with a way back where there is one. Errors stay until they are closed.
import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { ApiError } from "./api";

const CLOSE = { "aria-label": "Close" };
interface Offer { label: string; run: () => void }
export function toast(message: string, offer?: Offer): void {
  const id = notifications.show({
    message: offer ? (
      <span className="row"><span style={{ flex: 1 }}>{message}</span><Button onClick={() => { notifications.hide(id); offer.run(); }}>{offer.label}</Button></span>
    ) : message,
    withBorder: true, closeButtonProps: CLOSE,
  });
}

export function toastError(what: string, error: unknown): void {
  const e = error instanceof Error ? error : new Error(String(error));
  notifications.show({
    title: what,
    message: <>{e.message}{e instanceof ApiError && e.status === 403 && ". Its owner or an administrator of the project can give you the right."}{e instanceof ApiError && e.requestId && <span className="muted small"> Request {e.requestId}</span>}</>,
    color: "red", autoClose: false, withBorder: true, closeButtonProps: CLOSE, role: "alert",
  });
}
