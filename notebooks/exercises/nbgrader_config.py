# nbgrader's settings for the book's course. `make classroom` copies this file into the course's
# folder, with the folder vae_class that it names; run every nbgrader command there. Change what you
# like: `make classroom` keeps it.
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader provides it)

course = Path(__file__).resolve().parent
c.CourseDirectory.course_id = "vae"
c.CourseDirectory.root = str(course)
# Beside the submissions it belongs to, so that the folder can be moved or backed up as a whole.
c.CourseDirectory.db_url = f"sqlite:///{course / 'gradebook.db'}"

# What stands where an answer goes. The checks know a function that raises this for unanswered.
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # your answer here"}
c.ClearSolutions.text_stub = "*Your answer here.*"

# The solved assignments take less than a minute. An answer that hangs inside a check is stopped by
# the check itself; this stops a cell that hangs outside.
c.Execute.timeout = 300
c.Execute.interrupt_on_timeout = True

# --- vae_class: nothing that one student hands in costs another a grade -----------------------------
sys.path.insert(0, str(course))

# `nbgrader zip_collect NAME` unpacks what lies in downloaded/NAME/archive/ and sorts it by student:
# files called STUDENT_NAME.ipynb, and what Moodle, Canvas and Blackboard make of them. It names each
# file that it leaves out.
c.ZipCollectApp.extractor_plugin = "vae_class.collect.Extractor"
c.ZipCollectApp.collector_plugin = "vae_class.collect.Collector"

# `nbgrader autograde NAME` reads each notebook by the one that was handed out, and puts it right. An
# answer counts if the judge has found it right: a process outside the notebook that tries it.
c.Autograde.exporter_class = "vae_class.grade.HandedIn"
c.Autograde.autograde_preprocessors = [
    "vae_class.grade.Run",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
