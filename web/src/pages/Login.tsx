// Signing in, then back to where one came from: only ever to a path of this server.
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError, queries, send } from "../lib/api";
import { safeNext } from "../lib/next";
import classes from "./Login.module.css";

const route = getRouteApi("/login");

export function Login() {
  const { next } = route.useSearch();
  const router = useRouter();
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    document.title = "Sign in · Lathe";
  }, []);
  async function submit(e: FormEvent) {
    e.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await send("/login", { user, password });
      queries.clear();
      router.history.replace(safeNext(next));
    } catch (error) {
      const refused = error instanceof ApiError && error.status === 401;
      setProblem(refused ? "The name or the password is wrong." : error instanceof Error ? error.message : String(error));
      setPassword("");
      setBusy(false);
    }
  }
  return (
    <main className={classes.page}>
      <form className={classes.form} onSubmit={(e) => void submit(e)}>
        <h1><img src="/favicon.svg" alt="" width={26} height={26} /> Lathe</h1>
        <TextInput label="Name" size="sm" autoFocus autoComplete="username" autoCapitalize="none" spellCheck={false} required value={user} onChange={(e) => setUser(e.currentTarget.value)} />
        <PasswordInput label="Password" size="sm" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.currentTarget.value)} />
        {problem && <p className={classes.problem} role="alert">{problem}</p>}
        <Button type="submit" variant="filled" size="sm" loading={busy} fullWidth>Sign in</Button>
        <p className="muted small">No account yet? An administrator makes one with <code>lathe user add NAME</code>.</p>
      </form>
    </main>
  );
}
