// Acts on the world say first what they will do, in numbers; the answer's error stays in the sheet. No "are you sure?".
import { Button, Drawer } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { ApiError } from "../lib/api";
import classes from "./ConfirmSheet.module.css";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string; // "Promote digits v8 to production"
  confirm: string; // the verb on the button: "Promote v8"
  run: () => Promise<unknown>; // closes the sheet when it succeeds, unless it answers "stay"
  children: ReactNode; // what changes
  danger?: boolean;
  disabled?: string; // why it cannot be done
  width?: number;
}

export function ConfirmSheet({ opened, onClose, title, confirm, run, children, danger, disabled, width = 480 }: Props) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | Error>();
  async function act() {
    setBusy(true);
    setError(undefined);
    try {
      if ((await run()) !== "stay") onClose();
    } catch (e) {
      setError(e instanceof Error ? e : new Error(String(e)));
    } finally {
      setBusy(false);
    }
  }
  const close = () => {
    setError(undefined);
    onClose();
  };
  return (
    <Drawer.Root opened={opened} onClose={close} position="right" size={width}>
      <Drawer.Overlay backgroundOpacity={0.25} />
      <Drawer.Content>
      {/* not Drawer.Header: a second <header> would be a second banner of the page */}
      <div className={classes.head}><Drawer.Title><b>{title}</b></Drawer.Title><Drawer.CloseButton aria-label="Close" /></div>
      <Drawer.Body>
      <div className={classes.body}>{children}</div>
      {error && (
        <p className={classes.error} role="alert">{error.message}{error instanceof ApiError && error.requestId && <span className="muted small"> Request {error.requestId}</span>}</p>
      )}
      <div className={classes.foot}>
        <Button data-autofocus variant="filled" color={danger ? "red" : undefined} loading={busy} disabled={!!disabled} onClick={() => void act()}>{confirm}</Button>
        <Button variant="subtle" onClick={close}>Cancel</Button>
        {disabled && <span className="muted small">{disabled}</span>}
      </div>
      </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}
