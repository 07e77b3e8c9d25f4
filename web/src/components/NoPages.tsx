// In the place of every page of a project, for whom its pages are not: why, whom to ask, and what is open to him.
import type { Me } from "../lib/me";
import { CopyBlock } from "./CopyId";
import { PageHead } from "./PageHead";
import classes from "./Problem.module.css";

const ASK = "An administrator of the project can give you the role viewer: Admin, Users, or lathe user role.";

export function NoPages({ project, me }: { project: string; me: Me }) {
  if (me.permissions.includes("infer") && !me.by_resource) return <MayOnlyAsk project={project} />;
  return (
    <section className="page">
      <PageHead title={me.by_resource ? "You see a part of this project" : "You may not see this project"} />
      <div className={classes.empty}>
        {me.by_resource ? (
          <>
            <p>Your rights here are by experiment and model, and these pages show the whole project. What is shared with you is there for MLflow's clients:</p>
            <CopyBlock label="Copy as Python" text={`import mlflow\nmlflow.set_tracking_uri("${location.origin}")   # MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD\nprint(mlflow.search_experiments())`} />
          </>
        ) : <p>There is no project {project}, or you have no role in it that sees it.</p>}
        <p className="muted">{ASK}</p>
      </div>
    </section>
  );
}

/** Who may ask models and see nothing else: how to ask. */
function MayOnlyAsk({ project }: { project: string }) {
  const header = project === "default" ? "" : ` \\\n  -H 'x-lathe-project: ${project}'`;
  return (
    <section className="page">
    <PageHead title="You may ask this project's models" />
    <div className={classes.empty}>
      <p className="muted">Your role here is infer: the endpoints answer you, and the project's pages need the role viewer, which an administrator of the project can give. Make a token under Admin, then, with an endpoint's name:</p>
      <CopyBlock label="Copy as curl" text={`curl ${location.origin}/endpoints/NAME/invocations${header} \\\n  -H "authorization: Bearer $LATHE_TOKEN" \\\n  -H 'content-type: application/json' \\\n  -d '{"inputs": [[0.1, 0.2, 0.3, 0.4]]}'`} />
    </div>
    </section>
  );
}
