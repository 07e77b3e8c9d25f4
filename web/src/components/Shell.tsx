// The one frame of every page: project switcher and navigation at the left, crumbs, live state, palette, theme and user above.
import { ActionIcon, Drawer, Menu, Tooltip, UnstyledButton, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { IconCheck, IconChevronDown, IconClock, IconKeyboard, IconLogout, IconMenu2, IconMoon, IconSearch, IconSettings, IconSun, IconUser } from "@tabler/icons-react";
import { Link, Outlet, useLocation, useNavigate, useParams, useRouter } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { listenForKeys, useAction } from "../lib/actions";
import { currentProject, queries, send, setProject, whenSignedOut } from "../lib/api";
import { copyText } from "../lib/copy";
import { setTimeZone, shortId, timeZone } from "../lib/format";
import { followLinks } from "../lib/links";
import { followProject, useLiveness } from "../lib/live";
import { useMe } from "../lib/me";
import { PLACES, type Place, lastProject, rememberProject } from "../lib/places";
import { PAGE_NAMES } from "../lib/words";
import { KeySheet } from "./KeySheet";
import { NoPages } from "./NoPages";
import { Palette, openPalette } from "./Palette";
import classes from "./Shell.module.css";

/** Outside the shell too (the login page): keys. */
export function Root() {
  const router = useRouter();
  useEffect(listenForKeys, []);
  useEffect(() => followLinks((to) => router.history.push(to)), [router]);
  return <Outlet />;
}

export function Shell() {
  const { project: inPath } = useParams({ strict: false });
  const project = inPath ?? lastProject();
  const router = useRouter();
  const navigate = useNavigate();
  const [drawer, setDrawer] = useState(false);
  const { pathname } = useLocation();

  setProject(project);
  useEffect(() => {
    rememberProject(project);
    followProject(project);
  }, [project]);
  useEffect(() => whenSignedOut(() => {
    const here = location.pathname + location.search;
    if (!location.pathname.startsWith("/login")) router.history.push(`/login?next=${encodeURIComponent(here)}`);
  }), [router]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the drawer closes when one has gone somewhere
  useEffect(() => setDrawer(false), [pathname]);

  // To whom each page of the project would be refused, none is shown: he is told what he may do instead.
  const me = useMe(project).data;
  const blind = inPath !== undefined && me !== undefined && !me.reads_project;

  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  const switchTheme = () => setColorScheme(dark ? "light" : "dark");
  useAction({ id: "theme", label: dark ? "Light theme" : "Dark theme", group: "View", run: switchTheme });
  useAction({ id: "zone", label: timeZone() === "utc" ? "Times in local time" : "Times in UTC", group: "View", run: () => { setTimeZone(timeZone() === "utc" ? "local" : "utc"); location.reload(); } });
  useAction({ id: "link", label: "Copy a link to this view", keys: ".", group: "View", run: () => void copyText(location.href) });
  useAction({ id: "palette", label: "Search or run a command", keys: "mod+k", group: "View", run: openPalette });
  useAction({ id: "palette2", label: "Search or run a command", keys: "/", group: "View", run: openPalette });

  return (
    <div className={classes.shell}>
      <a className={classes.skip} href="#main">Skip to content</a>
      <nav className={classes.nav} aria-label="Project"><Navigation project={project} /></nav>
      <header className={classes.top}>
        <ActionIcon className={classes.burger} aria-label="Menu" onClick={() => setDrawer(true)}><IconMenu2 size={18} /></ActionIcon>
        <Crumbs project={project} />
        <Live />
        <UnstyledButton className={classes.search} onClick={openPalette}>
          <IconSearch size={14} aria-hidden /> <span>Search or run a command</span> <kbd className="key">Ctrl K</kbd>
        </UnstyledButton>
        <Tooltip label={dark ? "Light theme" : "Dark theme"}>
          <ActionIcon aria-label={dark ? "Light theme" : "Dark theme"} onClick={switchTheme}>{dark ? <IconSun size={16} /> : <IconMoon size={16} />}</ActionIcon>
        </Tooltip>
        <UserMenu project={project} onLogin={() => navigate({ to: "/login" })} />
      </header>
      <main id="main" className={classes.main} tabIndex={-1}>{blind ? <NoPages project={project} me={me} /> : <Outlet />}</main>
      <Drawer opened={drawer} onClose={() => setDrawer(false)} size={240} title="Lathe" padding="xs"><div className={classes.drawer}><Navigation project={project} /></div></Drawer>
      <Palette project={project} />
      <KeySheet />
    </div>
  );
}

function Navigation({ project }: { project: string }) {
  const navigate = useNavigate();
  const me = useMe(project);
  const projects = me.data?.projects ?? [project];
  return (
    <>
      <Link className={classes.brand} to="/p/$project" params={{ project }} aria-label="Lathe, overview"><img src="/favicon.svg" alt="" width={20} height={20} /> <span>Lathe</span></Link>
      <Menu position="bottom-start" width={200}>
        <Menu.Target>
          <UnstyledButton className={classes.project} aria-label={`Project ${project}`}>
            <span className="cut"><span className={`muted ${classes.wide}`}>Project</span> <b>{project}</b></span>
            <IconChevronDown size={14} aria-hidden />
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<span style={{ width: 14, display: "inline-block" }} />} onClick={() => navigate({ to: "/projects" })}>All projects</Menu.Item>
          <Menu.Divider />
          {projects.map((p) => (
            <Menu.Item key={p} leftSection={p === project ? <IconCheck size={14} /> : <span style={{ width: 14, display: "inline-block" }} />} onClick={() => navigate({ to: "/p/$project", params: { project: p } })}>{p}</Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      {(me.data && !me.data.reads_project ? [] : PLACES).map(({ path, name, icon: Icon, key, hint }) => <PlaceLink key={path} project={project} path={path} name={name} Icon={Icon} keys={`g ${key}`} hint={hint} />)}
      <Link className={classes.foot} to="/admin/{-$section}" params={{ section: undefined }}><IconSettings size={16} aria-hidden /> <span>Admin</span></Link>
    </>
  );
}

function PlaceLink({ project, path, name, Icon, keys, hint }: { project: string; path: string; name: string; Icon: Place["icon"]; keys: string; hint: string }) {
  const router = useRouter();
  const to = path ? `/p/${encodeURIComponent(project)}/${path}` : `/p/${encodeURIComponent(project)}`;
  useAction({ id: `go-${path || "overview"}`, label: `Go to ${name}`, keys, group: "Go to", hint, run: () => router.history.push(to) });
  return <Link className={classes.item} to={to as "/"} title={hint} activeOptions={{ exact: path === "", includeSearch: false }}><Icon size={16} aria-hidden /> <span>{name}</span></Link>;
}

// Names that people gave are shown whole.
const LOOKS_LIKE_ID = /^([a-z]{1,4}[_:-])?[0-9a-z]{20,}$/i;

function Crumbs({ project }: { project: string }) {
  const { pathname } = useLocation();
  const parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const inProject = parts[0] === "p";
  const rest = inProject ? parts.slice(2) : parts;
  const base = inProject ? `/p/${encodeURIComponent(project)}` : "";
  return (
    <ol className={classes.crumbs} aria-label="Breadcrumbs">
      {inProject && <li><Link to="/p/$project" params={{ project }}>{project}</Link></li>}
      {inProject && rest.length === 0 && <li aria-current="page">Overview</li>}
      {rest.map((part, i) => {
        const last = i === rest.length - 1;
        const words = i === 0 ? (PAGE_NAMES[part] ?? part) : LOOKS_LIKE_ID.test(part) ? shortId(part) : part;
        const to = `${base}/${rest.slice(0, i + 1).map(encodeURIComponent).join("/")}`;
        // "/pipelines/NAME/runs" is no page of its own: its place is the pipeline's.
        const link = !last && !(i > 0 && part === "runs");
        return <li key={to} aria-current={last ? "page" : undefined} title={part === words ? undefined : part}>{link ? <Link to={to as "/"}>{words}</Link> : words}</li>;
      })}
    </ol>
  );
}

function Live() {
  const state = useLiveness();
  const words = { live: "Live", connecting: "Reconnecting", "signed-out": "Signed out" }[state];
  return <span className={classes.live} data-on={state === "live" || undefined} role="status" title={state === "live" ? "This page follows the server's events" : "No connection to the server's events; what is shown may be old"}>{words}</span>;
}

function UserMenu({ project, onLogin }: { project: string; onLogin: () => void }) {
  const me = useMe(project);
  const name = me.data?.name ?? "local";
  const users = me.data?.mode === "users";
  async function logout() {
    await send("/logout").catch(() => {});
    queries.clear();
    onLogin();
  }
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target><ActionIcon aria-label={`User ${name}`}><IconUser size={16} /></ActionIcon></Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{name}{me.data?.roles.length ? ` · ${me.data.roles.join(", ")} in ${currentProject()}` : ""}</Menu.Label>
        <Menu.Item leftSection={<IconKeyboard size={14} />} onClick={() => document.dispatchEvent(new CustomEvent("lathe-keys"))}>Keys</Menu.Item>
        <Menu.Item leftSection={<IconClock size={14} />} onClick={() => { setTimeZone(timeZone() === "utc" ? "local" : "utc"); location.reload(); }}>{timeZone() === "utc" ? "Times in local time" : "Times in UTC"}</Menu.Item>
        {users && <Menu.Item leftSection={<IconLogout size={14} />} onClick={() => void logout()}>Sign out</Menu.Item>}
      </Menu.Dropdown>
    </Menu>
  );
}
