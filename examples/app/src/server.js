import chalk from "chalk";
import createDebug from "debug-legacy";
import express from "express";
import morgan from "morgan";
import semver from "semver";

const debug = createDebug("example:server");
const port = Number(process.env.PORT ?? 3000);

const app = express();
app.use(morgan("tiny"));
app.use(express.static("public"));

app.get("/satisfies", (request, response) => {
  const { version, range } = request.query;
  debug("is %s in %s", version, range);
  response.json({ satisfies: semver.satisfies(version, range) });
});

app.listen(port, () => {
  console.log(`listening on ${chalk.green(`http://localhost:${port}`)}`);
});
