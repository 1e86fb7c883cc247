# nbgrader's settings for the book's course. `make classroom` copies this file into the course's
# folder; run every nbgrader command there.
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
# the check itself; this stops one that hangs outside.
c.Execute.timeout = 300
c.Execute.interrupt_on_timeout = True

# `nbgrader zip_collect NAME` sorts files called student_NAME.ipynb, wherever students handed them
# in, from downloaded/NAME/archive/. Moodle puts more between the two, in a file's name or a folder's;
# Colab calls its copies so.
c.FileNameCollectorPlugin.named_regexp = (
    r".*[/\\](?:Copy of )?(?P<student_id>[^/\\]+?)"
    r"(?:_\d+_assignsubmission_file_?[_/\\]|_)(?:Copy of )?(?P<file_id>ch\d\d_\w+)"
)
