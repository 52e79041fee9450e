from .score_figure import plot_scores as plot_scores
from .score_table import selected_table as selected_table
from .similarity_figure import plot_similarity as plot_similarity
