// For who may ask models and see nothing else: how to ask, in the place of every page of the project.
import { CopyBlock } from "./CopyId";
import { PageHead } from "./PageHead";
import classes from "./Problem.module.css";

export function MayOnlyAsk({ project }: { project: string }) {
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
