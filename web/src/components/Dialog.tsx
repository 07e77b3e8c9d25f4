// A small question in the middle of the page: a name, a tag, where to.
import { Modal } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./KeySheet.module.css";

export function Dialog({ opened, onClose, title, children, size = "sm" }: { opened: boolean; onClose: () => void; title: string; children: ReactNode; size?: string | number }) {
  return (
    <Modal.Root opened={opened} onClose={onClose} size={size}>
      <Modal.Overlay backgroundOpacity={0.25} />
      <Modal.Content>
        {/* not Modal.Header: a second <header> would be a second banner of the page */}
        <div className={classes.head}><Modal.Title><b>{title}</b></Modal.Title><Modal.CloseButton aria-label="Close" /></div>
        <Modal.Body>{children}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
