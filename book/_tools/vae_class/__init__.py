"""What the book adds to nbgrader; `make classroom` puts it into the course's folder.

- handed_in: what a student has handed in, put right where its meaning is clear, else set aside;
- collect: whose a file is, whatever it is called and packed in, for `nbgrader zip_collect`;
- grade: reading with the first, and running so that one answer costs no other, for
  `nbgrader autograde`.

nbgrader_config.py beside this folder says where nbgrader uses them.
"""
