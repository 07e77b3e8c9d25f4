PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_migrations (
  module TEXT NOT NULL, number INTEGER NOT NULL, checksum TEXT NOT NULL, applied_us INTEGER NOT NULL,
  PRIMARY KEY (module, number)) STRICT;
INSERT INTO schema_migrations VALUES('core',1,'a8007ac0ba73f5d196e83a3d94a3be27f9c2e5a1d43d37429da21a18f00a51e0',1795576814385358);
INSERT INTO schema_migrations VALUES('blob',1,'a1b569715894644f00e2e608b7436829a538836ec60855b80a9d415218f11d32',1795576814385358);
INSERT INTO schema_migrations VALUES('data',1,'eb1cc791f70a9faf097685c6dfa2ef17030dcb71eb5ea9d673d6c98938905475',1795576814385358);
INSERT INTO schema_migrations VALUES('flow',1,'c4c5775576108afc1a6aebe6a42a4ca4738dc304279db7bfd5106aa39860a832',1795576814385358);
INSERT INTO schema_migrations VALUES('track',1,'881d6ce56e959c9e832bca972c67adfe5c2b1551492c088e55fa1dc29d6be660',1795576814385358);
INSERT INTO schema_migrations VALUES('serve',1,'799367e05f88739102bbc8a81fad936c801b5269cb17b18ead8143ca868ad792',1795576814385358);
INSERT INTO schema_migrations VALUES('watch',1,'b4841dd33cebec8879da06ff728b81d6f9f36d8ee04ce20b8c6155c91c66fdd9',1795576814385358);
INSERT INTO schema_migrations VALUES('loop',1,'3f36a78fcfd75067b0910dec32a1c635fe9473aa3778413a23c6747850bc124c',1795576814385358);
CREATE TABLE projects (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_us INTEGER NOT NULL
) STRICT;
INSERT INTO projects VALUES(1,'default',0);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  xid INTEGER NOT NULL DEFAULT 0,
  project INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject_kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  actor TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
INSERT INTO events VALUES(1,0,1,1795576815016639,'bundle.created','bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','local','{}');
INSERT INTO events VALUES(2,0,1,1795576815040162,'endpoint.created','endpoint','flowers','local','{}');
INSERT INTO events VALUES(3,0,1,1795576815040162,'monitor.changed','monitor','flowers','local','{}');
INSERT INTO events VALUES(4,0,1,1795576815040162,'experiment.created','experiment','1','local','{}');
INSERT INTO events VALUES(5,0,1,1795576815040162,'pipeline.changed','pipeline','flowers','local','{}');
INSERT INTO events VALUES(6,0,1,1795576815040162,'config.applied','pipeline','flowers','local','{"generation":1,"bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac","changes":30}');
INSERT INTO events VALUES(7,0,1,1795576815040162,'pipeline_run.created','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','local','{"pipeline":"flowers","number":1,"cause":"apply","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO events VALUES(8,0,1,1795576815081275,'stage.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"prepare:flowers","group":"prepare","attempt":"at_01m88bfqf9f7b9epncstz46kmq","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(9,0,1,1795576815081275,'pipeline_run.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","number":1,"cause":"apply"}');
INSERT INTO events VALUES(10,0,1,1795576815848688,'data_version.created','data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','attempt:at_01m88bfqf9f7b9epncstz46kmq','{"name":"flowers","number":1,"rows":{"duplicates":0,"rejected":0,"test":23,"train":104,"valid":23}}');
INSERT INTO events VALUES(11,0,1,1795576815924050,'principal.revoked','principal','attempt:at_01m88bfqf9f7b9epncstz46kmq','system:flow','{}');
INSERT INTO events VALUES(12,0,1,1795576815924050,'stage.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"prepare:flowers","group":"prepare","attempt":"at_01m88bfqf9f7b9epncstz46kmq","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(13,0,1,1795576815924050,'stage.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"train","group":"train","attempt":"at_01m88bfr9mfs4r0q3mg3y1rj17","tries":1,"reason":"it has not succeeded before"}');
INSERT INTO events VALUES(14,0,1,1795576827012118,'run.created','run','80c7b8ddf03fc453307bf9981592bcfb','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{}');
INSERT INTO events VALUES(15,0,1,1795576827208004,'run.logged','run','80c7b8ddf03fc453307bf9981592bcfb','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"metrics":0,"params":1,"tags":0}');
INSERT INTO events VALUES(16,0,1,1795576827350554,'logged_model.created','logged_model','m-6c03830d207503a8b44c54c1b23fdf08','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{}');
INSERT INTO events VALUES(17,0,1,1795576827719669,'run.outputs_logged','run','80c7b8ddf03fc453307bf9981592bcfb','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{}');
INSERT INTO events VALUES(18,0,1,1795576831540022,'artifact.stored','artifact','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"size":26}');
INSERT INTO events VALUES(19,0,1,1795576831603926,'artifact.stored','artifact','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"size":670}');
INSERT INTO events VALUES(20,0,1,1795576831612642,'artifact.stored','artifact','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"size":114}');
INSERT INTO events VALUES(21,0,1,1795576831649571,'artifact.stored','artifact','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"size":127}');
INSERT INTO events VALUES(22,0,1,1795576831743320,'artifact.stored','artifact','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"size":965}');
INSERT INTO events VALUES(23,0,1,1795576831852373,'logged_model.finalized','logged_model','m-6c03830d207503a8b44c54c1b23fdf08','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"status":"LOGGED_MODEL_READY"}');
INSERT INTO events VALUES(24,0,1,1795576831972050,'run.updated','run','80c7b8ddf03fc453307bf9981592bcfb','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','{"status":"FINISHED"}');
INSERT INTO events VALUES(25,0,1,1795576833968047,'principal.revoked','principal','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','system:flow','{}');
INSERT INTO events VALUES(26,0,1,1795576833968047,'stage.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"train","group":"train","attempt":"at_01m88bfr9mfs4r0q3mg3y1rj17","tries":1,"reason":"it has not succeeded before"}');
INSERT INTO events VALUES(27,0,1,1795576833968047,'stage.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"evaluate","group":"evaluate","attempt":"at_01m88bg9xgem4sq14mt3wxjvq5","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(28,0,1,1795576834326994,'evaluation.stored','evaluation','ev_01m88bga8peq7rf78v62j0ngks','attempt:at_01m88bg9xgem4sq14mt3wxjvq5','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","purpose":"select","side":"candidate","model":"m-6c03830d207503a8b44c54c1b23fdf08","part":"valid","metric":"accuracy","value":0.9130434782608695}');
INSERT INTO events VALUES(29,0,1,1795576834450971,'evaluation.stored','evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r','attempt:at_01m88bg9xgem4sq14mt3wxjvq5','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","purpose":"gate","side":"challenger","model":"m-6c03830d207503a8b44c54c1b23fdf08","part":"test","metric":"accuracy","value":0.9130434782608695}');
INSERT INTO events VALUES(30,0,1,1795576834541834,'principal.revoked','principal','attempt:at_01m88bg9xgem4sq14mt3wxjvq5','system:flow','{}');
INSERT INTO events VALUES(31,0,1,1795576834541834,'stage.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"evaluate","group":"evaluate","attempt":"at_01m88bg9xgem4sq14mt3wxjvq5","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(32,0,1,1795576834541834,'stage.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"gate","group":"gate","attempt":"at_01m88bgafdfa5vsrnyhnb2rqca","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(33,0,1,1795576834628159,'verdict.passed','verdict','vd_01m88bgaj4ffmarbf59caj8ffz','attempt:at_01m88bgafdfa5vsrnyhnb2rqca','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","endpoint":"flowers","challenger":"m-6c03830d207503a8b44c54c1b23fdf08","champion":"","passed":true,"reason":"passed: accuracy 0.9130 on 23 rows of test (0.7320 to 0.9758), its lower end reaches the bound 0.6000"}');
INSERT INTO events VALUES(34,0,1,1795576834666289,'principal.revoked','principal','attempt:at_01m88bgafdfa5vsrnyhnb2rqca','system:flow','{}');
INSERT INTO events VALUES(35,0,1,1795576834666289,'stage.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"gate","group":"gate","attempt":"at_01m88bgafdfa5vsrnyhnb2rqca","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(36,0,1,1795576834666289,'stage.started','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"promote","group":"promote","attempt":"at_01m88bgakaefesw3ymk74j1tqa","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(37,0,1,1795576834752270,'registered_model.created','registered_model','flowers','attempt:at_01m88bgakaefesw3ymk74j1tqa','{}');
INSERT INTO events VALUES(38,0,1,1795576834752270,'model_version.created','model_version','flowers/1','attempt:at_01m88bgakaefesw3ymk74j1tqa','{}');
INSERT INTO events VALUES(39,0,1,1795576834752270,'revision.created','revision','flowers/1','attempt:at_01m88bgakaefesw3ymk74j1tqa','{}');
INSERT INTO events VALUES(40,0,1,1795576834752270,'endpoint.promoted','endpoint','flowers','attempt:at_01m88bgakaefesw3ymk74j1tqa','{"revision":1,"previous":0,"model":"flowers","version":1}');
INSERT INTO events VALUES(41,0,1,1795576834752270,'alias.set','model_version','flowers/1','attempt:at_01m88bgakaefesw3ymk74j1tqa','{"alias":"champion"}');
INSERT INTO events VALUES(42,0,1,1795576834752270,'baseline.set','revision','flowers/1','attempt:at_01m88bgakaefesw3ymk74j1tqa','{}');
INSERT INTO events VALUES(43,0,1,1795576835811251,'principal.revoked','principal','attempt:at_01m88bgakaefesw3ymk74j1tqa','system:flow','{}');
INSERT INTO events VALUES(44,0,1,1795576835811251,'stage.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","stage":"promote","group":"promote","attempt":"at_01m88bgakaefesw3ymk74j1tqa","tries":1,"reason":"it always runs"}');
INSERT INTO events VALUES(45,0,1,1795576835811251,'pipeline_run.succeeded','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','system:flow','{"pipeline":"flowers","number":1,"cause":"apply"}');
INSERT INTO events VALUES(46,0,1,1795576835840132,'run.created','run','64168fdea46a21d7fd894ef0ea41bb1c','local','{}');
INSERT INTO events VALUES(47,0,1,1795576835928231,'run.logged','run','64168fdea46a21d7fd894ef0ea41bb1c','local','{"metrics":1,"params":0,"tags":0}');
INSERT INTO events VALUES(48,0,1,1795576835955158,'run.logged','run','64168fdea46a21d7fd894ef0ea41bb1c','local','{"metrics":1,"params":0,"tags":0}');
INSERT INTO events VALUES(49,0,1,1795576836033573,'run.logged','run','64168fdea46a21d7fd894ef0ea41bb1c','local','{"metrics":1,"params":0,"tags":0}');
INSERT INTO events VALUES(50,0,1,1795576836039321,'run.logged','run','64168fdea46a21d7fd894ef0ea41bb1c','local','{"metrics":0,"params":1,"tags":0}');
INSERT INTO events VALUES(51,0,1,1795576836538236,'feedback.received','feedback','pr_01m88bgbyje008qwr0000g0000','local','{"labels":5,"new":5,"endpoints":{"flowers":5}}');
INSERT INTO events VALUES(52,0,1,1795576836610302,'window.closed','window','wd_01m88bgcg2emx84kkqvww10gcn','system:watch','{"endpoint":"flowers","revision":1,"number":1,"rows":30,"judged":true,"drifted":true,"bad_quality":false,"drifted_share":1.0}');
INSERT INTO events VALUES(53,0,1,1795576836610302,'window.labelled','window','wd_01m88bgcg2emx84kkqvww10gcn','system:watch','{"labelled":5,"correct":5}');
INSERT INTO events VALUES(54,0,1,1795576836706442,'window.labelled','window','wd_01m88bgcg2emx84kkqvww10gcn','system:watch','{"labelled":5,"correct":5}');
CREATE TABLE consumers (
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  xid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  moved_us INTEGER NOT NULL,
  PRIMARY KEY (project, name)
) WITHOUT ROWID, STRICT;
INSERT INTO consumers VALUES(0,'retrain',0,54,1795576836748566);
CREATE TABLE edges (
  project INTEGER NOT NULL,
  from_kind TEXT NOT NULL,
  from_id TEXT NOT NULL,
  to_kind TEXT NOT NULL,
  to_id TEXT NOT NULL,
  role TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (project, from_kind, from_id, to_kind, to_id, role)
) WITHOUT ROWID, STRICT;
INSERT INTO edges VALUES(1,'attempt','at_01m88bfqf9f7b9epncstz46kmq','data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','produced',1795576815848688);
INSERT INTO edges VALUES(1,'attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','logged_model','m-6c03830d207503a8b44c54c1b23fdf08','produced',1795576827350554);
INSERT INTO edges VALUES(1,'attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','run','80c7b8ddf03fc453307bf9981592bcfb','produced',1795576827012118);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','attempt','at_01m88bfqf9f7b9epncstz46kmq','code',1795576815081275);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','code',1795576815924050);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','attempt','at_01m88bg9xgem4sq14mt3wxjvq5','code',1795576833968047);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','attempt','at_01m88bgafdfa5vsrnyhnb2rqca','code',1795576834541834);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','attempt','at_01m88bgakaefesw3ymk74j1tqa','code',1795576834666289);
INSERT INTO edges VALUES(1,'bundle','3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','code',1795576815040162);
INSERT INTO edges VALUES(1,'data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','input',1795576815924050);
INSERT INTO edges VALUES(1,'data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','evaluation','ev_01m88bga8peq7rf78v62j0ngks','input',1795576834326994);
INSERT INTO edges VALUES(1,'data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r','input',1795576834450971);
INSERT INTO edges VALUES(1,'evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r','revision','flowers/1','baseline',1795576834752270);
INSERT INTO edges VALUES(1,'evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r','verdict','vd_01m88bgaj4ffmarbf59caj8ffz','input',1795576834628159);
INSERT INTO edges VALUES(1,'file','flowers/raw/iris.csv@007bff7771dd5d7830066f99bd2372e82f979f49250ff3d0ef179920640bec37','data_version','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','input',1795576815848688);
INSERT INTO edges VALUES(1,'logged_model','m-6c03830d207503a8b44c54c1b23fdf08','evaluation','ev_01m88bga8peq7rf78v62j0ngks','judged',1795576834326994);
INSERT INTO edges VALUES(1,'logged_model','m-6c03830d207503a8b44c54c1b23fdf08','evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r','judged',1795576834450971);
INSERT INTO edges VALUES(1,'logged_model','m-6c03830d207503a8b44c54c1b23fdf08','model_version','flowers/1','registered',1795576834752270);
INSERT INTO edges VALUES(1,'model_version','flowers/1','revision','flowers/1','serves',1795576834752270);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','attempt','at_01m88bfqf9f7b9epncstz46kmq','caused',1795576815081275);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','caused',1795576815924050);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','attempt','at_01m88bg9xgem4sq14mt3wxjvq5','caused',1795576833968047);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','attempt','at_01m88bgafdfa5vsrnyhnb2rqca','caused',1795576834541834);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','attempt','at_01m88bgakaefesw3ymk74j1tqa','caused',1795576834666289);
INSERT INTO edges VALUES(1,'pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','verdict','vd_01m88bgaj4ffmarbf59caj8ffz','produced',1795576834628159);
INSERT INTO edges VALUES(1,'revision','flowers/1','window','wd_01m88bgcg2emx84kkqvww10gcn','watched',1795576836610302);
INSERT INTO edges VALUES(1,'run','80c7b8ddf03fc453307bf9981592bcfb','logged_model','m-6c03830d207503a8b44c54c1b23fdf08','produced',1795576827350554);
INSERT INTO edges VALUES(1,'verdict','vd_01m88bgaj4ffmarbf59caj8ffz','revision','flowers/1','judged',1795576834752270);
CREATE TABLE principals (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  kind INTEGER NOT NULL,
  attempt TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  UNIQUE (project, name)
) STRICT;
INSERT INTO principals VALUES(1,1,'attempt:at_01m88bfqf9f7b9epncstz46kmq',4,'at_01m88bfqf9f7b9epncstz46kmq',1795576815081275);
INSERT INTO principals VALUES(2,1,'attempt:at_01m88bfr9mfs4r0q3mg3y1rj17',4,'at_01m88bfr9mfs4r0q3mg3y1rj17',1795576815924050);
INSERT INTO principals VALUES(3,1,'attempt:at_01m88bg9xgem4sq14mt3wxjvq5',4,'at_01m88bg9xgem4sq14mt3wxjvq5',1795576833968047);
INSERT INTO principals VALUES(4,1,'attempt:at_01m88bgafdfa5vsrnyhnb2rqca',4,'at_01m88bgafdfa5vsrnyhnb2rqca',1795576834541834);
INSERT INTO principals VALUES(5,1,'attempt:at_01m88bgakaefesw3ymk74j1tqa',4,'at_01m88bgakaefesw3ymk74j1tqa',1795576834666289);
CREATE TABLE tokens (
  hash BLOB NOT NULL PRIMARY KEY,
  project INTEGER NOT NULL,
  principal INTEGER NOT NULL REFERENCES principals (id),
  created_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject_kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  request_id TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
INSERT INTO audit VALUES(1,1,1795576815040162,'local','monitor.changed','monitor','flowers','rq_01m88bfqe0fj6s2f54kmrn6zna','{}');
INSERT INTO audit VALUES(2,1,1795576815040162,'local','config.applied','pipeline','flowers','rq_01m88bfqe0fj6s2f54kmrn6zna','{"generation":1,"bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac","changes":30}');
INSERT INTO audit VALUES(3,1,1795576815040162,'local','pipeline_run.created','pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc','rq_01m88bfqe0fj6s2f54kmrn6zna','{"pipeline":"flowers","number":1,"cause":"apply","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(4,1,1795576815081275,'system:flow','stage.started','attempt','at_01m88bfqf9f7b9epncstz46kmq','','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","stage":"prepare:flowers","cmd":"lathe step prepare ''flowers'' --label ''species'' --files ''raw/*.csv'' --endpoint ''flowers''","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(5,1,1795576815924050,'system:flow','token.revoked','principal','attempt:at_01m88bfqf9f7b9epncstz46kmq','','{}');
INSERT INTO audit VALUES(6,1,1795576815924050,'system:flow','stage.started','attempt','at_01m88bfr9mfs4r0q3mg3y1rj17','','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","stage":"train","cmd":"python train.py","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(7,1,1795576833968047,'system:flow','token.revoked','principal','attempt:at_01m88bfr9mfs4r0q3mg3y1rj17','','{}');
INSERT INTO audit VALUES(8,1,1795576833968047,'system:flow','stage.started','attempt','at_01m88bg9xgem4sq14mt3wxjvq5','','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","stage":"evaluate","cmd":"lathe step evaluate","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(9,1,1795576834541834,'system:flow','token.revoked','principal','attempt:at_01m88bg9xgem4sq14mt3wxjvq5','','{}');
INSERT INTO audit VALUES(10,1,1795576834541834,'system:flow','stage.started','attempt','at_01m88bgafdfa5vsrnyhnb2rqca','','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","stage":"gate","cmd":"lathe step gate","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(11,1,1795576834666289,'system:flow','token.revoked','principal','attempt:at_01m88bgafdfa5vsrnyhnb2rqca','','{}');
INSERT INTO audit VALUES(12,1,1795576834666289,'system:flow','stage.started','attempt','at_01m88bgakaefesw3ymk74j1tqa','','{"run":"pl_01m88bfqe0e1fs456b96j95bqc","stage":"promote","cmd":"lathe step promote","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac"}');
INSERT INTO audit VALUES(13,1,1795576834752270,'attempt:at_01m88bgakaefesw3ymk74j1tqa','registered_model.created','registered_model','flowers','rq_01m88bgap0fnfr5qbr22n80wss','{}');
INSERT INTO audit VALUES(14,1,1795576834752270,'attempt:at_01m88bgakaefesw3ymk74j1tqa','model_version.created','model_version','flowers/1','rq_01m88bgap0fnfr5qbr22n80wss','{}');
INSERT INTO audit VALUES(15,1,1795576834752270,'attempt:at_01m88bgakaefesw3ymk74j1tqa','alias.set','model_version','flowers/1','rq_01m88bgap0fnfr5qbr22n80wss','{"alias":"champion"}');
INSERT INTO audit VALUES(16,1,1795576834752270,'attempt:at_01m88bgakaefesw3ymk74j1tqa','model_version.promoted','endpoint','flowers','rq_01m88bgap0fnfr5qbr22n80wss','{"revision":1,"previous":0,"model":"flowers","version":1,"verdict":"vd_01m88bgaj4ffmarbf59caj8ffz"}');
INSERT INTO audit VALUES(17,1,1795576835811251,'system:flow','token.revoked','principal','attempt:at_01m88bgakaefesw3ymk74j1tqa','','{}');
CREATE TABLE blobs (
  project INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  md5 BLOB,
  size INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  unused_since_us INTEGER NOT NULL,
  PRIMARY KEY (project, sha256)
) WITHOUT ROWID, STRICT;
INSERT INTO blobs VALUES(1,X'007bff7771dd5d7830066f99bd2372e82f979f49250ff3d0ef179920640bec37',X'a186d449e2f6c539bd48b8a8bc0e9b56',3816,1795576814928987,0);
INSERT INTO blobs VALUES(1,X'079fdc71978f60c98bb4cbe4d3912b9f84c7bd0cf9f74d7def1c43e1f02ee2aa',X'f64231e26ded55c431bbad58cafde90a',28,1795576815646197,0);
INSERT INTO blobs VALUES(1,X'08d91c4f82a7dae9128268f272791cc28a8a504b7348bff9a613328109538a96',X'1311afad377521d532adf0bc0377d726',965,1795576831743320,0);
INSERT INTO blobs VALUES(1,X'1a1b80ce4079526273679d0f92413ef7ec8c07a307a4972e04ce58df4f31e152',X'aa5c6e11c9c02f3daaa8d5863f85f01b',569,1795576834326994,0);
INSERT INTO blobs VALUES(1,X'52bb080cfd31c2fdadf794bcad917af4ddd348f72cc0dd6caddb478c5b44d787',X'daadf3159e8c77fc50392a25f3a8936d',575,1795576815543957,0);
INSERT INTO blobs VALUES(1,X'57669986f3e4f05d1a5fbc69130a2d116bf64b95bb1ce3691de9c20190e39392',X'9c6ef83428638327e59da6060dce04ad',26,1795576831540022,0);
INSERT INTO blobs VALUES(1,X'7080f403c0a33bd4cf70693a77de41af1e4cca293053fd260b5ecfd7ba6a6ba4',X'ddbf5a10ab0202a56b570ebdd36e6890',114,1795576831612642,0);
INSERT INTO blobs VALUES(1,X'79a7b12f1ea26778b0b1fe0f0fa4ada74c3821f92f73b52e1a58ea9e98fc2c80',X'7c44c42577dc1641bc109345f6cb0f1a',1422,1795576834752270,0);
INSERT INTO blobs VALUES(1,X'80830fb8184c9085fa359dcdc1a1fe6c920b072954b328e152be0545bc600d58',X'c0a76877695503e2ef2fad77bad11a54',567,1795576834450971,0);
INSERT INTO blobs VALUES(1,X'a030909ace4d24741a8535b115c3e9fb83663054c711434fdbadbc27e4ce8852',X'951bd850870447ab63d9d811dcf5833e',529,1795576814980942,0);
INSERT INTO blobs VALUES(1,X'ad9a2f10ea08440bddc18382ef8bbba859296afb9d22821f398072cb6405e3b9',X'60a1216f754120041dd0673f43bbfb7e',326,1795576814894727,0);
INSERT INTO blobs VALUES(1,X'b5e37f383cebfb34c2dcbee4745acb0303a6e0582baea7010807d06ab619766b',X'9996f6dc123f849296bb767fc469b14a',570,1795576815792280,0);
INSERT INTO blobs VALUES(1,X'd860a47f55bbea9d0df43a4ebe4d5d14c25dedf8489e64a95a7fe6990907c1f3',X'13e35b4a4939aba871482641cc24e682',160,1795576815828820,0);
INSERT INTO blobs VALUES(1,X'dac4dd1950fe7770853d0648ef0d149303a4d74397c2288995f93bc6eb87a630',X'9ff3f0cb81548762738177c14da82e90',670,1795576831603926,0);
INSERT INTO blobs VALUES(1,X'db5f6e3e4d0b3705024c0ea047bf372657b4811fc140dcc575879d956413d2cc',X'6ba13bc4822f876355a1c01e59cbd150',127,1795576831649571,0);
INSERT INTO blobs VALUES(1,X'e80a40cec0e32d5b7ebb17cfe0f0a25eaeb6c68b41ce19de44ffed853f461c82',X'593a5d70f28a55923f3a8f3b350ea54e',2561,1795576815486174,0);
INSERT INTO blobs VALUES(1,X'f2f79bd3e196c7f80947ea047b478d16a6fbe65ac392550bb0618fccea0fae46',X'70e839320e9fc6a74500b84b6d171864',589,1795576815728232,0);
INSERT INTO blobs VALUES(1,X'fe9d04a7e79b41494f52fe7fcb0b2d845f157c71d4931974ec315e68b5c18b9b',X'9208502b7e121b7e14bfa6f25f7593d3',4561,1795576815574100,0);
CREATE TABLE blob_refs (
  project INTEGER NOT NULL,
  owner_kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (project, owner_kind, owner, sha256)
) WITHOUT ROWID, STRICT;
INSERT INTO blob_refs VALUES(1,'baseline','flowers/1',X'79a7b12f1ea26778b0b1fe0f0fa4ada74c3821f92f73b52e1a58ea9e98fc2c80',1795576834752270);
INSERT INTO blob_refs VALUES(1,'evaluation','ev_01m88bga8peq7rf78v62j0ngks',X'1a1b80ce4079526273679d0f92413ef7ec8c07a307a4972e04ce58df4f31e152',1795576834326994);
INSERT INTO blob_refs VALUES(1,'evaluation','ev_01m88bgacjfnvv1xrwf3f0z74r',X'80830fb8184c9085fa359dcdc1a1fe6c920b072954b328e152be0545bc600d58',1795576834450971);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'08d91c4f82a7dae9128268f272791cc28a8a504b7348bff9a613328109538a96',1795576834752270);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'57669986f3e4f05d1a5fbc69130a2d116bf64b95bb1ce3691de9c20190e39392',1795576834752270);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'7080f403c0a33bd4cf70693a77de41af1e4cca293053fd260b5ecfd7ba6a6ba4',1795576834752270);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'd860a47f55bbea9d0df43a4ebe4d5d14c25dedf8489e64a95a7fe6990907c1f3',1795576834752270);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'dac4dd1950fe7770853d0648ef0d149303a4d74397c2288995f93bc6eb87a630',1795576834752270);
INSERT INTO blob_refs VALUES(1,'revision','flowers/1',X'db5f6e3e4d0b3705024c0ea047bf372657b4811fc140dcc575879d956413d2cc',1795576834752270);
CREATE TABLE artifacts (
  project INTEGER NOT NULL,
  root TEXT NOT NULL,
  path TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 BLOB,
  location INTEGER NOT NULL,
  address TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (project, root, path)
) WITHOUT ROWID, STRICT;
INSERT INTO artifacts VALUES(1,'bundle/3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','lathe.yaml',326,X'ad9a2f10ea08440bddc18382ef8bbba859296afb9d22821f398072cb6405e3b9',0,'',1795576815016639);
INSERT INTO artifacts VALUES(1,'bundle/3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','raw/iris.csv',3816,X'007bff7771dd5d7830066f99bd2372e82f979f49250ff3d0ef179920640bec37',0,'',1795576815016639);
INSERT INTO artifacts VALUES(1,'bundle/3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','train.py',529,X'a030909ace4d24741a8535b115c3e9fb83663054c711434fdbadbc27e4ce8852',0,'',1795576815016639);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','export/train.csv',2561,X'e80a40cec0e32d5b7ebb17cfe0f0a25eaeb6c68b41ce19de44ffed853f461c82',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','export/valid.csv',575,X'52bb080cfd31c2fdadf794bcad917af4ddd348f72cc0dd6caddb478c5b44d787',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','profile.json',4561,X'fe9d04a7e79b41494f52fe7fcb0b2d845f157c71d4931974ec315e68b5c18b9b',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','rejects.csv',28,X'079fdc71978f60c98bb4cbe4d3912b9f84c7bd0cf9f74d7def1c43e1f02ee2aa',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','schema.json',589,X'f2f79bd3e196c7f80947ea047b478d16a6fbe65ac392550bb0618fccea0fae46',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','test.csv',570,X'b5e37f383cebfb34c2dcbee4745acb0303a6e0582baea7010807d06ab619766b',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','train.csv',2561,X'e80a40cec0e32d5b7ebb17cfe0f0a25eaeb6c68b41ce19de44ffed853f461c82',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','transform.json',160,X'd860a47f55bbea9d0df43a4ebe4d5d14c25dedf8489e64a95a7fe6990907c1f3',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'data/d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','valid.csv',575,X'52bb080cfd31c2fdadf794bcad917af4ddd348f72cc0dd6caddb478c5b44d787',0,'',1795576815848688);
INSERT INTO artifacts VALUES(1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','MLmodel',670,X'dac4dd1950fe7770853d0648ef0d149303a4d74397c2288995f93bc6eb87a630',0,'',1795576831603926);
INSERT INTO artifacts VALUES(1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','conda.yaml',127,X'db5f6e3e4d0b3705024c0ea047bf372657b4811fc140dcc575879d956413d2cc',0,'',1795576831649571);
INSERT INTO artifacts VALUES(1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','model.onnx',965,X'08d91c4f82a7dae9128268f272791cc28a8a504b7348bff9a613328109538a96',0,'',1795576831743320);
INSERT INTO artifacts VALUES(1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','python_env.yaml',114,X'7080f403c0a33bd4cf70693a77de41af1e4cca293053fd260b5ecfd7ba6a6ba4',0,'',1795576831612642);
INSERT INTO artifacts VALUES(1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','requirements.txt',26,X'57669986f3e4f05d1a5fbc69130a2d116bf64b95bb1ce3691de9c20190e39392',0,'',1795576831540022);
CREATE TABLE data_versions (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  number INTEGER NOT NULL,
  version TEXT NOT NULL,
  label TEXT NOT NULL,
  features TEXT NOT NULL,
  rows_json TEXT NOT NULL,
  source TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  made_us INTEGER NOT NULL,
  UNIQUE (project, name, number),
  UNIQUE (project, name, version)
) STRICT;
INSERT INTO data_versions VALUES(1,1,'flowers',1,'d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','species','["a","b","c","d"]','{"duplicates":0,"rejected":0,"test":23,"train":104,"valid":23}','{"kind":"files","files":[{"path":"raw/iris.csv","sha256":"007bff7771dd5d7830066f99bd2372e82f979f49250ff3d0ef179920640bec37","size":3816,"rows":150,"rejected":0}],"split":{"train":7E-1,"valid":1.5E-1,"test":1.5E-1,"seed":0,"stratify":"","group":""},"prepare_sha256":"","engine":"DuckDB v1.5.6"}',1795576815848688,1795576815848688);
CREATE TABLE flow_pipelines (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  changed_us INTEGER NOT NULL,
  cron_next_us INTEGER,
  UNIQUE (project, name)
) STRICT;
INSERT INTO flow_pipelines VALUES(1,1,'flowers','{"name":"flowers","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac","experiment":"flowers","stages":[{"name":"prepare:flowers","group":"prepare","cmd":"lathe step prepare ''flowers'' --label ''species'' --files ''raw/*.csv'' --endpoint ''flowers''","always":true,"internal":true},{"name":"train","group":"train","cmd":"python train.py","after":["prepare:flowers"],"deps":["train.py"],"data":[{"name":"flowers","raw":false,"parts":["train","valid"]}]},{"name":"evaluate","group":"evaluate","cmd":"lathe step evaluate","after":["train","prepare:flowers"],"always":true,"internal":true},{"name":"gate","group":"gate","cmd":"lathe step gate","after":["evaluate"],"always":true,"internal":true},{"name":"promote","group":"promote","cmd":"lathe step promote","after":["gate"],"always":true,"internal":true}]}',1795576815040162,NULL);
CREATE TABLE flow_runs (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  public_id TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  number INTEGER NOT NULL,
  bundle TEXT NOT NULL,
  cause TEXT NOT NULL,
  params TEXT NOT NULL,
  spec TEXT NOT NULL,
  forced INTEGER NOT NULL,
  state INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  version INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  UNIQUE (project, public_id),
  UNIQUE (project, pipeline, number)
) STRICT;
INSERT INTO flow_runs VALUES(1,1,'pl_01m88bfqe0e1fs456b96j95bqc','flowers',1,'3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','apply','{}','{"name":"flowers","bundle":"3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac","experiment":"flowers","stages":[{"name":"prepare:flowers","group":"prepare","cmd":"lathe step prepare ''flowers'' --label ''species'' --files ''raw/*.csv'' --endpoint ''flowers''","always":true,"internal":true},{"name":"train","group":"train","cmd":"python train.py","after":["prepare:flowers"],"deps":["train.py"],"data":[{"name":"flowers","raw":false,"parts":["train","valid"]}]},{"name":"evaluate","group":"evaluate","cmd":"lathe step evaluate","after":["train","prepare:flowers"],"always":true,"internal":true},{"name":"gate","group":"gate","cmd":"lathe step gate","after":["evaluate"],"always":true,"internal":true},{"name":"promote","group":"promote","cmd":"lathe step promote","after":["gate"],"always":true,"internal":true}]}',0,2,0,7,1795576815040162,1795576835811251);
CREATE TABLE flow_stages (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  stage INTEGER NOT NULL,
  name TEXT NOT NULL,
  grp TEXT NOT NULL,
  phase INTEGER NOT NULL,
  result INTEGER NOT NULL,
  attempt TEXT NOT NULL,
  reason TEXT NOT NULL,
  tries INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  not_before_us INTEGER NOT NULL,
  started_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  PRIMARY KEY (project, run, stage)
) WITHOUT ROWID, STRICT;
INSERT INTO flow_stages VALUES(1,1,0,'prepare:flowers','prepare',6,2,'at_01m88bfqf9f7b9epncstz46kmq','it always runs',1,0,0,1795576815081275,1795576815924050);
INSERT INTO flow_stages VALUES(1,1,1,'train','train',6,2,'at_01m88bfr9mfs4r0q3mg3y1rj17','it has not succeeded before',1,0,0,1795576815924050,1795576833968047);
INSERT INTO flow_stages VALUES(1,1,2,'evaluate','evaluate',6,2,'at_01m88bg9xgem4sq14mt3wxjvq5','it always runs',1,0,0,1795576833968047,1795576834541834);
INSERT INTO flow_stages VALUES(1,1,3,'gate','gate',6,2,'at_01m88bgafdfa5vsrnyhnb2rqca','it always runs',1,0,0,1795576834541834,1795576834666289);
INSERT INTO flow_stages VALUES(1,1,4,'promote','promote',6,2,'at_01m88bgakaefesw3ymk74j1tqa','it always runs',1,0,0,1795576834666289,1795576835811251);
CREATE TABLE flow_attempts (
  project INTEGER NOT NULL,
  public_id TEXT NOT NULL,
  run INTEGER NOT NULL,
  stage INTEGER NOT NULL,
  inputs TEXT NOT NULL,
  handle TEXT NOT NULL,
  outcome INTEGER,
  detail TEXT NOT NULL,
  started_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  PRIMARY KEY (project, public_id)
) WITHOUT ROWID, STRICT;
INSERT INTO flow_attempts VALUES(1,'at_01m88bfqf9f7b9epncstz46kmq',1,0,'{"command":"lathe step prepare ''flowers'' --label ''species'' --files ''raw/*.csv'' --endpoint ''flowers''","folder":"","outs":""}','local:0585c8d3-663c-4eda-b49c-b36b42cdf57b',0,'it always runs',1795576815081275,1795576815924050);
INSERT INTO flow_attempts VALUES(1,'at_01m88bfr9mfs4r0q3mg3y1rj17',1,1,'{"command":"python train.py","data flowers":"d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3 train valid","file train.py":"a030909ace4d24741a8535b115c3e9fb83663054c711434fdbadbc27e4ce8852","folder":"","outs":""}','local:0585c8d3-663c-4eda-b49c-b36b42cdf57b',0,'it has not succeeded before',1795576815924050,1795576833968047);
INSERT INTO flow_attempts VALUES(1,'at_01m88bg9xgem4sq14mt3wxjvq5',1,2,'{"command":"lathe step evaluate","folder":"","outs":""}','local:0585c8d3-663c-4eda-b49c-b36b42cdf57b',0,'it always runs',1795576833968047,1795576834541834);
INSERT INTO flow_attempts VALUES(1,'at_01m88bgafdfa5vsrnyhnb2rqca',1,3,'{"command":"lathe step gate","folder":"","outs":""}','local:0585c8d3-663c-4eda-b49c-b36b42cdf57b',0,'it always runs',1795576834541834,1795576834666289);
INSERT INTO flow_attempts VALUES(1,'at_01m88bgakaefesw3ymk74j1tqa',1,4,'{"command":"lathe step promote","folder":"","outs":""}','local:0585c8d3-663c-4eda-b49c-b36b42cdf57b',0,'it always runs',1795576834666289,1795576835811251);
CREATE TABLE flow_results (
  project INTEGER NOT NULL,
  pipeline TEXT NOT NULL,
  stage TEXT NOT NULL,
  input_key TEXT NOT NULL,
  attempt TEXT NOT NULL,
  inputs TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (project, pipeline, stage, input_key)
) WITHOUT ROWID, STRICT;
INSERT INTO flow_results VALUES(1,'flowers','train','c6e6c25fbf0026ceb5048659fc58421b3750a7b1cf5fafb54b9d326801db7734','at_01m88bfr9mfs4r0q3mg3y1rj17','{"command":"python train.py","data flowers":"d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3 train valid","file train.py":"a030909ace4d24741a8535b115c3e9fb83663054c711434fdbadbc27e4ce8852","folder":"","outs":""}',1795576833968047);
CREATE TABLE flow_inbox (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  run INTEGER NOT NULL
) STRICT;
CREATE TABLE track_counters (
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (project, name)
) WITHOUT ROWID, STRICT;
INSERT INTO track_counters VALUES(0,'experiment',1);
CREATE TABLE track_keys (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (project, name)
) STRICT;
INSERT INTO track_keys VALUES(1,1,'mlflow.user');
INSERT INTO track_keys VALUES(2,1,'mlflow.source.name');
INSERT INTO track_keys VALUES(3,1,'mlflow.source.type');
INSERT INTO track_keys VALUES(4,1,'depth');
INSERT INTO track_keys VALUES(5,1,'colour');
INSERT INTO track_keys VALUES(6,1,'loss');
CREATE TABLE track_experiments (
  id INTEGER NOT NULL PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  artifact_location TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  UNIQUE (project, name)
) STRICT;
INSERT INTO track_experiments VALUES(0,1,'Default','mlflow-artifacts:/0',0,1795576814660,1795576814660);
INSERT INTO track_experiments VALUES(1,1,'flowers','mlflow-artifacts:/1',0,1795576815040,1795576815040);
CREATE TABLE track_experiment_tags (
  project INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, exp, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE track_runs (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  exp INTEGER NOT NULL,
  name TEXT NOT NULL,
  name_tag INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  status INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER,
  deleted INTEGER NOT NULL,
  deleted_ms INTEGER,
  artifact_uri TEXT NOT NULL,
  attempt TEXT NOT NULL,
  UNIQUE (project, run_id)
) STRICT;
INSERT INTO track_runs VALUES(1,1,'80c7b8ddf03fc453307bf9981592bcfb',1,'eager-wren-172',1,'root',3,1795576826999,1795576831885,0,NULL,'mlflow-artifacts:/1/80c7b8ddf03fc453307bf9981592bcfb/artifacts','at_01m88bfr9mfs4r0q3mg3y1rj17');
INSERT INTO track_runs VALUES(2,1,'64168fdea46a21d7fd894ef0ea41bb1c',0,'fluent-wren-823',1,'',1,1,NULL,0,NULL,'mlflow-artifacts:/0/64168fdea46a21d7fd894ef0ea41bb1c/artifacts','');
CREATE TABLE track_params (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, run, key_id)
) WITHOUT ROWID, STRICT;
INSERT INTO track_params VALUES(1,1,4,1,'3');
INSERT INTO track_params VALUES(1,2,4,0,'7');
CREATE TABLE track_tags (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, run, key_id)
) WITHOUT ROWID, STRICT;
INSERT INTO track_tags VALUES(1,1,1,1,'root');
INSERT INTO track_tags VALUES(1,1,2,1,'train.py');
INSERT INTO track_tags VALUES(1,1,3,1,'LOCAL');
INSERT INTO track_tags VALUES(1,2,5,0,'blue');
CREATE TABLE track_metric_points (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  step INTEGER NOT NULL,
  value REAL NOT NULL,
  is_nan INTEGER NOT NULL,
  PRIMARY KEY (project, run, key_id, at_ms, step, value, is_nan)
) WITHOUT ROWID, STRICT;
INSERT INTO track_metric_points VALUES(1,2,6,2,0,1.0,0);
INSERT INTO track_metric_points VALUES(1,2,6,3,1,0.5,0);
INSERT INTO track_metric_points VALUES(1,2,6,4,2,0.33333333333333331482,0);
CREATE TABLE track_latest_metrics (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  value REAL NOT NULL,
  at_ms INTEGER NOT NULL,
  step INTEGER NOT NULL,
  is_nan INTEGER NOT NULL,
  PRIMARY KEY (project, run, key_id)
) WITHOUT ROWID, STRICT;
INSERT INTO track_latest_metrics VALUES(1,2,6,0,0.33333333333333331482,4,2,0);
CREATE TABLE track_datasets (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  source_type TEXT NOT NULL,
  source TEXT NOT NULL,
  schema_text TEXT,
  profile TEXT,
  UNIQUE (project, exp, name, digest)
) STRICT;
CREATE TABLE track_inputs (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  dataset INTEGER NOT NULL,
  UNIQUE (project, run, dataset)
) STRICT;
CREATE TABLE track_input_tags (
  project INTEGER NOT NULL,
  input INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, input, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE track_run_models (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  is_output INTEGER NOT NULL,
  model_id TEXT NOT NULL,
  step INTEGER NOT NULL,
  PRIMARY KEY (project, run, is_output, model_id, step)
) WITHOUT ROWID, STRICT;
INSERT INTO track_run_models VALUES(1,1,1,'m-6c03830d207503a8b44c54c1b23fdf08',0);
CREATE TABLE track_models (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  model_id TEXT NOT NULL,
  exp INTEGER NOT NULL,
  name TEXT NOT NULL,
  model_type TEXT NOT NULL,
  source_run_id TEXT NOT NULL,
  artifact_uri TEXT NOT NULL,
  status INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  attempt TEXT NOT NULL,
  UNIQUE (project, model_id)
) STRICT;
INSERT INTO track_models VALUES(1,1,'m-6c03830d207503a8b44c54c1b23fdf08',1,'model','','80c7b8ddf03fc453307bf9981592bcfb','mlflow-artifacts:/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts',2,0,1795576827350,1795576831852,'at_01m88bfr9mfs4r0q3mg3y1rj17');
CREATE TABLE track_model_params (
  project INTEGER NOT NULL,
  model INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, model, key)
) WITHOUT ROWID, STRICT;
INSERT INTO track_model_params VALUES(1,1,'depth','3');
CREATE TABLE track_model_tags (
  project INTEGER NOT NULL,
  model INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, model, key)
) WITHOUT ROWID, STRICT;
INSERT INTO track_model_tags VALUES(1,1,'mlflow.modelVersions','[{"name":"flowers","version":1}]');
INSERT INTO track_model_tags VALUES(1,1,'mlflow.source.name','train.py');
INSERT INTO track_model_tags VALUES(1,1,'mlflow.source.type','LOCAL');
INSERT INTO track_model_tags VALUES(1,1,'mlflow.user','root');
CREATE TABLE track_model_metrics (
  project INTEGER NOT NULL,
  model INTEGER NOT NULL,
  key TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  step INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  value REAL NOT NULL,
  is_nan INTEGER NOT NULL,
  dataset_name TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  PRIMARY KEY (project, model, key, at_ms, step, run_id, value, is_nan, dataset_name, dataset_digest)
) WITHOUT ROWID, STRICT;
CREATE TABLE track_registered (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  last_version INTEGER NOT NULL,
  UNIQUE (project, name)
) STRICT;
INSERT INTO track_registered VALUES(1,1,'flowers',NULL,1795576834752,1795576834752,1);
CREATE TABLE track_registered_tags (
  project INTEGER NOT NULL,
  registered INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, registered, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE track_versions (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  registered INTEGER NOT NULL,
  version INTEGER NOT NULL,
  source TEXT NOT NULL,
  storage_uri TEXT NOT NULL,
  artifact_root TEXT NOT NULL,
  run_id TEXT NOT NULL,
  run_link TEXT NOT NULL,
  model_id TEXT NOT NULL,
  description TEXT,
  stage TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  UNIQUE (project, registered, version)
) STRICT;
INSERT INTO track_versions VALUES(1,1,1,1,'models:/m-6c03830d207503a8b44c54c1b23fdf08','mlflow-artifacts:/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','80c7b8ddf03fc453307bf9981592bcfb','','m-6c03830d207503a8b44c54c1b23fdf08','passed: accuracy 0.9130 on 23 rows of test (0.7320 to 0.9758), its lower end reaches the bound 0.6000','None',0,1795576834752,1795576834752);
CREATE TABLE track_version_tags (
  project INTEGER NOT NULL,
  version_row INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, version_row, key)
) WITHOUT ROWID, STRICT;
INSERT INTO track_version_tags VALUES(1,1,'lathe.pipeline_run','pl_01m88bfqe0e1fs456b96j95bqc');
INSERT INTO track_version_tags VALUES(1,1,'lathe.verdict','vd_01m88bgaj4ffmarbf59caj8ffz');
CREATE TABLE track_aliases (
  project INTEGER NOT NULL,
  registered INTEGER NOT NULL,
  alias TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (project, registered, alias)
) WITHOUT ROWID, STRICT;
INSERT INTO track_aliases VALUES(1,1,'champion',1);
CREATE TABLE endpoints (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  environment TEXT NOT NULL,
  is_default INTEGER NOT NULL DEFAULT 0,
  live_revision INTEGER NOT NULL DEFAULT 0,
  previous_revision INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0,
  created_us INTEGER NOT NULL
) STRICT;
INSERT INTO endpoints VALUES(1,1,'flowers','production',0,1,0,1,1795576815040162);
CREATE TABLE revisions (
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  number INTEGER NOT NULL,
  model_name TEXT NOT NULL,
  model_version INTEGER NOT NULL,
  artifact_root TEXT NOT NULL,
  transform_digest TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (project, endpoint, number)
) WITHOUT ROWID, STRICT;
INSERT INTO revisions VALUES(1,'flowers',1,'flowers',1,'mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','d860a47f55bbea9d0df43a4ebe4d5d14c25dedf8489e64a95a7fe6990907c1f3',1795576834752270);
CREATE TABLE monitors (
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  window_rows INTEGER NOT NULL,
  window_us INTEGER NOT NULL,
  labels_from_feedback INTEGER NOT NULL,
  ks_alpha REAL NOT NULL,
  psi_threshold REAL NOT NULL,
  drifted_share REAL NOT NULL,
  consecutive INTEGER NOT NULL,
  changed_us INTEGER NOT NULL,
  read_segment INTEGER NOT NULL,
  read_offset INTEGER NOT NULL,
  read_skip INTEGER NOT NULL,
  next_number INTEGER NOT NULL,
  PRIMARY KEY (project, endpoint)
) WITHOUT ROWID, STRICT;
INSERT INTO monitors VALUES(1,'flowers',30,0,1,0.010000000000000000208,0.25,0.29999999999999998889,2,1795576815040162,1,2696,8,2);
CREATE TABLE baselines (
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  revision INTEGER NOT NULL,
  profile TEXT NOT NULL,
  evaluation TEXT NOT NULL,
  set_us INTEGER NOT NULL,
  PRIMARY KEY (project, endpoint, revision)
) WITHOUT ROWID, STRICT;
INSERT INTO baselines VALUES(1,'flowers',1,'79a7b12f1ea26778b0b1fe0f0fa4ada74c3821f92f73b52e1a58ea9e98fc2c80','ev_01m88bgacjfnvv1xrwf3f0z74r',1795576834752270);
CREATE TABLE windows (
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  first_us INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  closed_us INTEGER NOT NULL,
  request_count INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  judged INTEGER NOT NULL,
  drifted INTEGER NOT NULL,
  bad_quality INTEGER NOT NULL,
  labelled INTEGER NOT NULL,
  correct INTEGER NOT NULL,
  absolute_error REAL NOT NULL,
  PRIMARY KEY (project, endpoint, number)
) WITHOUT ROWID, STRICT;
INSERT INTO windows VALUES(1,'flowers',1,'wd_01m88bgcg2emx84kkqvww10gcn',1,1795576836050801,1795576836414572,1795576836610302,30,30,1,1,0,5,5,0.0);
CREATE TABLE window_details (
  project INTEGER NOT NULL,
  window_id TEXT NOT NULL,
  numbers TEXT NOT NULL,
  members TEXT NOT NULL,
  PRIMARY KEY (project, window_id)
) STRICT;
INSERT INTO window_details VALUES(1,'wd_01m88bgcg2emx84kkqvww10gcn','{"rows":30,"family":5,"constant_family":0,"drifted_share":1.0,"judged":true,"drifted":true,"bad_quality":false,"predictions":{"name":"prediction","kind":"category","rows":30,"counts":[30,0,0,0],"d":0.0,"psi":2.6321199108400215,"p":1.1869011063794977e-06,"p_holm":2.3738022127589953e-06,"p_bh":1.4836263829743721e-06,"quality_p":1.0,"tested":true,"drifted":true,"bad_quality":false},"features":[{"name":"a","kind":"numeric","rows":30,"gap":390,"counts":[0,0,0,15,15,0,0,0,0,0],"d":0.5652173913043478,"psi":2.290415719743809,"p":0.00020324885079139947,"p_holm":0.00020324885079139947,"p_bh":0.00020324885079139947,"quality_p":1.0,"tested":true,"drifted":true,"bad_quality":false},{"name":"b","kind":"numeric","rows":30,"gap":630,"counts":[0,0,0,0,0,0,30],"d":0.9130434782608695,"psi":3.941534597592347,"p":4.420887412629579e-12,"p_holm":2.2104437063147894e-11,"p_bh":2.2104437063147894e-11,"quality_p":1.0,"tested":true,"drifted":true,"bad_quality":false},{"name":"c","kind":"numeric","rows":30,"gap":600,"counts":[0,30,0,0,0,0,0,0,0,0],"d":0.8695652173913043,"psi":2.9377582441679952,"p":7.515508601470285e-11,"p_holm":3.006203440588114e-10,"p_bh":1.8788771503675713e-10,"quality_p":1.0,"tested":true,"drifted":true,"bad_quality":false},{"name":"d","kind":"numeric","rows":30,"gap":510,"counts":[30,0,0,0,0,0,0,0],"d":0.7391304347826088,"psi":2.2733429082522116,"p":1.4758402763575913e-07,"p_holm":4.4275208290727737e-07,"p_bh":2.459733793929319e-07,"quality_p":1.0,"tested":true,"drifted":true,"bad_quality":false}]}','{"pr_01m88bgbyje008qwr0000g0000":["setosa"],"pr_01m88bgbyre008qwr0000g0001":["setosa"],"pr_01m88bgbyxe008qwr0000g0002":["setosa"],"pr_01m88bgbzde008qwr0000g0003":["setosa"],"pr_01m88bgbz8e008qwr0000g2000":["setosa"],"pr_01m88bgbzme008qwr0000g2001":["setosa"],"pr_01m88bgc04e008qwr0000g2002":["setosa"],"pr_01m88bgc06e008qwr0000g2003":["setosa"],"pr_01m88bgc0ye008qwr0000g0004":["setosa"],"pr_01m88bgc10e008qwr0000g2004":["setosa"],"pr_01m88bgc1je008qwr0000g2005":["setosa"],"pr_01m88bgc1ne008qwr0000g2006":["setosa"],"pr_01m88bgc2re008qwr0000g2007":["setosa"],"pr_01m88bgc2te008qwr0000g2008":["setosa"],"pr_01m88bgc3ge008qwr0000g0005":["setosa"],"pr_01m88bgc43e008qwr0000g2009":["setosa"],"pr_01m88bgc46e008qwr0000g0006":["setosa"],"pr_01m88bgc4ze008qwr0000g200a":["setosa"],"pr_01m88bgc51e008qwr0000g200b":["setosa"],"pr_01m88bgc64e008qwr0000g200c":["setosa"],"pr_01m88bgc6ge008qwr0000g0007":["setosa"],"pr_01m88bgc6je008qwr0000g0008":["setosa"],"pr_01m88bgc7ge008qwr0000g200d":["setosa"],"pr_01m88bgc80e008qwr0000g0009":["setosa"],"pr_01m88bgc88e008qwr0000g000a":["setosa"],"pr_01m88bgc8we008qwr0000g000b":["setosa"],"pr_01m88bgc8ye008qwr0000g000c":["setosa"],"pr_01m88bgc9ye008qwr0000g000d":["setosa"],"pr_01m88bgc9ce008qwr0000g200e":["setosa"],"pr_01m88bgc9fe008qwr0000g200f":["setosa"]}');
CREATE TABLE feedback (
  project INTEGER NOT NULL,
  prediction TEXT NOT NULL,
  row_index INTEGER NOT NULL,
  label TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  received_us INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  window_id TEXT NOT NULL,
  pending INTEGER NOT NULL,
  PRIMARY KEY (project, prediction, row_index)
) WITHOUT ROWID, STRICT;
INSERT INTO feedback VALUES(1,'pr_01m88bgbyje008qwr0000g0000',0,'setosa',1795576836538236,1795576836538236,'flowers','wd_01m88bgcg2emx84kkqvww10gcn',0);
INSERT INTO feedback VALUES(1,'pr_01m88bgbyre008qwr0000g0001',0,'setosa',1795576836538236,1795576836538236,'flowers','wd_01m88bgcg2emx84kkqvww10gcn',0);
INSERT INTO feedback VALUES(1,'pr_01m88bgbyxe008qwr0000g0002',0,'setosa',1795576836538236,1795576836538236,'flowers','wd_01m88bgcg2emx84kkqvww10gcn',0);
INSERT INTO feedback VALUES(1,'pr_01m88bgbz8e008qwr0000g2000',0,'setosa',1795576836538236,1795576836538236,'flowers','wd_01m88bgcg2emx84kkqvww10gcn',0);
INSERT INTO feedback VALUES(1,'pr_01m88bgbzde008qwr0000g0003',0,'setosa',1795576836538236,1795576836538236,'flowers','wd_01m88bgcg2emx84kkqvww10gcn',0);
CREATE TABLE alerts (
  project INTEGER NOT NULL,
  id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  raised_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  numbers TEXT NOT NULL,
  PRIMARY KEY (project, id)
) STRICT;
CREATE TABLE loop_bundles (
  project INTEGER NOT NULL,
  id TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  dirty INTEGER NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (project, id)
) WITHOUT ROWID, STRICT;
INSERT INTO loop_bundles VALUES(1,'3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','',0,3,4671,1795576815016639);
CREATE TABLE loop_applied (
  project INTEGER NOT NULL,
  pipeline TEXT NOT NULL,
  generation INTEGER NOT NULL,
  bundle TEXT NOT NULL,
  file TEXT NOT NULL,
  text TEXT NOT NULL,
  texts TEXT NOT NULL,
  actor TEXT NOT NULL,
  applied_us INTEGER NOT NULL,
  PRIMARY KEY (project, pipeline, generation)
) WITHOUT ROWID, STRICT;
INSERT INTO loop_applied VALUES(1,'flowers',1,'3102035666c5d7418eef534726d68be3c1527c1f9d54908d5cbff4b8506c16ac','lathe.yaml',replace('project: flowers\ndata: {flowers: {path: raw/*.csv, label: species, feedback: true}}\nstages:\n  train: {cmd: python train.py, deps: [train.py, flowers]}\nmodel: {from: train}\ngate: {min: 0.6}\nendpoint: {environment: production}\nmonitor: {window: 30 rows, labels: feedback}\nretrain: {on: [drift], cooldown: 1h, min_labels: 10000}\n','\n',char(10)),'{"lathe.yaml":"project: flowers\ndata: {flowers: {path: raw/*.csv, label: species, feedback: true}}\nstages:\n  train: {cmd: python train.py, deps: [train.py, flowers]}\nmodel: {from: train}\ngate: {min: 0.6}\nendpoint: {environment: production}\nmonitor: {window: 30 rows, labels: feedback}\nretrain: {on: [drift], cooldown: 1h, min_labels: 10000}\n"}','local',1795576815040162);
CREATE TABLE loop_endpoints (
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  environment TEXT NOT NULL,
  PRIMARY KEY (project, endpoint)
) WITHOUT ROWID, STRICT;
INSERT INTO loop_endpoints VALUES(1,'flowers','flowers','production');
CREATE TABLE loop_evaluations (
  project INTEGER NOT NULL,
  id TEXT NOT NULL,
  run TEXT NOT NULL,
  attempt TEXT NOT NULL,
  purpose TEXT NOT NULL,
  side TEXT NOT NULL,
  subject TEXT NOT NULL,
  model_version TEXT NOT NULL,
  data_version TEXT NOT NULL,
  part TEXT NOT NULL,
  rows_digest TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  metric TEXT NOT NULL,
  value REAL NOT NULL,
  low REAL NOT NULL,
  high REAL NOT NULL,
  summary TEXT NOT NULL,
  predictions TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (project, id)
) WITHOUT ROWID, STRICT;
INSERT INTO loop_evaluations VALUES(1,'ev_01m88bga8peq7rf78v62j0ngks','pl_01m88bfqe0e1fs456b96j95bqc','at_01m88bg9xgem4sq14mt3wxjvq5','select','candidate','m-6c03830d207503a8b44c54c1b23fdf08','','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','valid','52bb080cfd31c2fdadf794bcad917af4ddd348f72cc0dd6caddb478c5b44d787',23,'accuracy',0.91304347826086951211,0.7320401892425634216,0.97581999551577958129,'{"rows":23,"metric":"accuracy","value":0.9130434782608695,"low":0.7320401892425634,"high":0.9758199955157796,"confidence":0.95,"interval":"wilson","metrics":{"accuracy":0.9130434782608695,"macro_precision":0.9190476190476191,"macro_recall":0.9190476190476191,"macro_f1":0.9190476190476191,"weighted_f1":0.9130434782608696,"log_loss":3.134230729488448,"brier_score":0.17391304347826086,"roc_auc_ovr":0.93628663003663},"classes":[{"label":"setosa","support":6,"precision":1.0,"recall":1.0,"f1":1.0},{"label":"versicolor","support":7,"precision":0.8571428571428571,"recall":0.8571428571428571,"f1":0.8571428571428571},{"label":"virginica","support":10,"precision":0.9,"recall":0.9,"f1":0.9}],"confusion":{"labels":["setosa","versicolor","virginica"],"counts":[[6,0,0],[0,6,1],[0,1,9]]},"slices":[],"worst":[{"row":2,"label":"versicolor","predicted":"virginica","score":1.0},{"row":21,"label":"virginica","predicted":"versicolor","score":1.0}]}','1a1b80ce4079526273679d0f92413ef7ec8c07a307a4972e04ce58df4f31e152',1795576834326994);
INSERT INTO loop_evaluations VALUES(1,'ev_01m88bgacjfnvv1xrwf3f0z74r','pl_01m88bfqe0e1fs456b96j95bqc','at_01m88bg9xgem4sq14mt3wxjvq5','gate','challenger','m-6c03830d207503a8b44c54c1b23fdf08','','d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3','test','b5e37f383cebfb34c2dcbee4745acb0303a6e0582baea7010807d06ab619766b',23,'accuracy',0.91304347826086951211,0.7320401892425634216,0.97581999551577958129,'{"rows":23,"metric":"accuracy","value":0.9130434782608695,"low":0.7320401892425634,"high":0.9758199955157796,"confidence":0.95,"interval":"wilson","metrics":{"accuracy":0.9130434782608695,"macro_precision":0.861111111111111,"macro_recall":0.861111111111111,"macro_f1":0.861111111111111,"weighted_f1":0.9130434782608694,"log_loss":3.134230729488448,"brier_score":0.17391304347826086,"roc_auc_ovr":0.907070707070707},"classes":[{"label":"setosa","support":8,"precision":1.0,"recall":1.0,"f1":1.0},{"label":"versicolor","support":12,"precision":0.9166666666666666,"recall":0.9166666666666666,"f1":0.9166666666666666},{"label":"virginica","support":3,"precision":0.6666666666666666,"recall":0.6666666666666666,"f1":0.6666666666666666}],"confusion":{"labels":["setosa","versicolor","virginica"],"counts":[[8,0,0],[0,11,1],[0,1,2]]},"slices":[],"worst":[{"row":0,"label":"versicolor","predicted":"virginica","score":1.0},{"row":4,"label":"virginica","predicted":"versicolor","score":1.0}]}','80830fb8184c9085fa359dcdc1a1fe6c920b072954b328e152be0545bc600d58',1795576834450971);
CREATE TABLE loop_verdicts (
  project INTEGER NOT NULL,
  id TEXT NOT NULL,
  run TEXT NOT NULL,
  attempt TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  environment TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  model TEXT NOT NULL,
  challenger TEXT NOT NULL,
  artifact_root TEXT NOT NULL,
  transform TEXT NOT NULL,
  champion TEXT NOT NULL,
  champion_revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  passed INTEGER NOT NULL,
  reason TEXT NOT NULL,
  numbers TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (project, id)
) WITHOUT ROWID, STRICT;
INSERT INTO loop_verdicts VALUES(1,'vd_01m88bgaj4ffmarbf59caj8ffz','pl_01m88bfqe0e1fs456b96j95bqc','at_01m88bgafdfa5vsrnyhnb2rqca','flowers','production','flowers','flowers','m-6c03830d207503a8b44c54c1b23fdf08','mlflow/1/models/m-6c03830d207503a8b44c54c1b23fdf08/artifacts','d860a47f55bbea9d0df43a4ebe4d5d14c25dedf8489e64a95a7fe6990907c1f3','',0,'first',1,'passed: accuracy 0.9130 on 23 rows of test (0.7320 to 0.9758), its lower end reaches the bound 0.6000','{"kind":"first","metric":"accuracy","challenger":"m-6c03830d207503a8b44c54c1b23fdf08","rule":{"confidence":0.95,"max_regression":0.02,"min":0.6,"min_recent_rows":50,"resamples":10000,"seed":1},"rows":[{"data_version":"d348e76e42212f50940b1428e958e100d9d7175c2c8c1103d15ca545ef2fbdd3","part":"test","sha256":"b5e37f383cebfb34c2dcbee4745acb0303a6e0582baea7010807d06ab619766b","rows":23,"challenger":{"value":0.9130434782608695,"low":0.7320401892425634,"high":0.9758199955157796,"evaluation":"ev_01m88bgacjfnvv1xrwf3f0z74r"}}],"checks":[{"check":"absolute","passed":true,"found":0.7320401892425634,"bound":0.6}],"passed":true}',1795576834628159);
CREATE TABLE loop_promotions (
  id INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  revision INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  kind TEXT NOT NULL,
  verdict TEXT NOT NULL,
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  actor TEXT NOT NULL,
  at_us INTEGER NOT NULL
) STRICT;
INSERT INTO loop_promotions VALUES(1,1,'flowers',1,0,'promoted','vd_01m88bgaj4ffmarbf59caj8ffz','flowers',1,'attempt:at_01m88bgakaefesw3ymk74j1tqa',1795576834752270);
CREATE TABLE loop_retrainings (
  project INTEGER NOT NULL,
  alert TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  run TEXT NOT NULL,
  labels INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (project, alert)
) WITHOUT ROWID, STRICT;
CREATE INDEX edges_into ON edges (project, to_kind, to_id);
CREATE INDEX tokens_of ON tokens (principal);
CREATE INDEX audit_in_order ON audit (project, id);
CREATE INDEX blobs_by_digest ON blobs (sha256);
CREATE INDEX blob_refs_to ON blob_refs (project, sha256);
CREATE INDEX artifacts_of_blob ON artifacts (project, sha256);
CREATE INDEX data_versions_by_version ON data_versions (project, version);
CREATE INDEX flow_runs_live ON flow_runs (ended_us, id);
CREATE INDEX flow_attempts_stage ON flow_attempts (project, run, stage);
CREATE INDEX flow_results_newest ON flow_results (project, pipeline, stage, at_us);
CREATE INDEX track_runs_by_start ON track_runs (project, exp, deleted, start_ms DESC, run_id);
CREATE INDEX track_runs_by_name ON track_runs (project, exp, substr(name, 1, 100));
CREATE INDEX track_params_by_value ON track_params (project, exp, key_id, substr(value, 1, 100), run);
CREATE INDEX track_tags_by_value ON track_tags (project, exp, key_id, substr(value, 1, 100), run);
CREATE INDEX track_latest_by_value ON track_latest_metrics (project, exp, key_id, is_nan, value, run);
CREATE INDEX track_inputs_by_dataset ON track_inputs (project, dataset, run);
CREATE INDEX track_models_by_created ON track_models (project, exp, deleted, created_ms DESC, model_id);
CREATE INDEX track_models_by_attempt ON track_models (project, attempt, id);
CREATE INDEX track_versions_by_run ON track_versions (project, run_id);
CREATE INDEX track_versions_by_model ON track_versions (project, model_id);
CREATE INDEX track_versions_by_update ON track_versions (project, deleted, updated_ms DESC);
CREATE UNIQUE INDEX endpoints_name ON endpoints (project, name);
CREATE UNIQUE INDEX windows_by_id ON windows (project, id);
CREATE INDEX windows_in_time ON windows (project, last_us);
CREATE INDEX feedback_pending ON feedback (project) WHERE pending = 1;
CREATE INDEX feedback_of_endpoint ON feedback (project, endpoint, received_us);
CREATE INDEX feedback_of_window ON feedback (project, window_id);
CREATE INDEX alerts_in_time ON alerts (project, raised_us);
CREATE UNIQUE INDEX alerts_one_open ON alerts (project, endpoint, revision, kind) WHERE ended_us = 0;
CREATE INDEX loop_applied_bundle ON loop_applied (project, pipeline, bundle, generation);
CREATE UNIQUE INDEX loop_evaluations_once ON loop_evaluations (project, run, purpose, side, subject, part);
CREATE UNIQUE INDEX loop_verdicts_run ON loop_verdicts (project, run, endpoint);
CREATE INDEX loop_promotions_endpoint ON loop_promotions (project, endpoint, id);
CREATE INDEX loop_promotions_verdict ON loop_promotions (project, verdict, endpoint);
CREATE INDEX loop_retrainings_endpoint ON loop_retrainings (project, endpoint, at_us);
COMMIT;
