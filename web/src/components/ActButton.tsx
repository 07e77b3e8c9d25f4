// A button of an act that not everybody may do: who may not still sees it, greyed, with the reason under the pointer and by focus.
import { Button, type ButtonProps, Tooltip } from "@mantine/core";
import type { ButtonHTMLAttributes } from "react";
import { currentProject } from "../lib/api";
import { type Permission, denied, may, useMe } from "../lib/me";

type Props = ButtonProps & Omit<ButtonHTMLAttributes<HTMLButtonElement>, keyof ButtonProps> & { needs: Permission; why?: string };

/** `why`: the reason in this page's own words. */
export function ActButton({ needs, why, onClick, type = "button", ...rest }: Props) {
  const me = useMe(currentProject()).data;
  if (may(me, needs)) return <Button {...rest} type={type} onClick={onClick} />;
  return <Tooltip label={why ?? denied(needs)} multiline maw={280}><Button {...rest} type="button" data-disabled aria-disabled loading={false} onClick={(e) => e.preventDefault()} /></Tooltip>;
}
